"""The `data` section of a configuration."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Settings of data; contradictions raise `ValueError` when it is built."""
