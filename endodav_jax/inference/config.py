"""The `inference` section of a configuration."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class InferConfig:
    """Settings of inference; contradictions raise `ValueError` when it is built."""
