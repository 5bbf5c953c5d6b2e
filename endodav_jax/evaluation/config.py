"""The `evaluation` section of a configuration."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Settings of evaluation; contradictions raise `ValueError` when it is built."""
