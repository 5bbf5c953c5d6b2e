"""The `training` section of a configuration."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of training; contradictions raise `ValueError` when it is built."""
