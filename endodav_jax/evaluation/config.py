"""The `evaluate` section of a configuration."""

import dataclasses
from typing import Literal

from endodav_jax.evaluation.alignment import RULES, Rule
from endodav_jax.evaluation.depth_errors import DepthRange

Kind = Literal["depth", "disparity"]
KINDS: tuple[Kind, ...] = ("depth", "disparity")


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """How predicted depth is measured.  Contradictions raise `ValueError` when it is built.

    Attributes:
      path: prepared data set.
      split: of it: `validation`, `test` or `eval` of SCARED, all of which the published evaluators use in turn.
      align: the rule that brings predictions to the ground truth's scale; `scale_shift` is the published default.
      per_frame: fit the rule on every frame alone instead of once for the sequence.
      near, far: depths that count, mm; predictions are clipped to them.
      max_length: frames of each sequence that are looked at; 0 for all.
      min_depth, max_depth: depth of a disparity of 1 and of 0 (`geometry.depth_from_disparity`), before alignment.
      windows: how the windows of a long video are aligned: `endodav`, `vda` or `none`.
      predictions: folder of another method's predictions, to be measured in place of a network.
      kind: what those are: `depth` or `disparity`.
    """

    path: str = ""
    split: str = "test"
    align: Rule = "scale_shift"
    per_frame: bool = False
    near: float = 1e-3
    far: float = 150.0
    max_length: int = 0
    min_depth: float = 0.1
    max_depth: float = 150.0
    windows: Literal["endodav", "vda", "none"] = "endodav"
    predictions: str = ""
    kind: Kind = "depth"

    def __post_init__(self):
        if self.align not in RULES:
            raise ValueError(f"evaluate.align: {self.align!r} is not one of {', '.join(RULES)}")
        if self.windows not in ("endodav", "vda", "none"):
            raise ValueError(f"evaluate.windows: {self.windows!r} is not one of endodav, vda, none")
        if self.kind not in KINDS:
            raise ValueError(f"evaluate.kind: {self.kind!r} is not one of {', '.join(KINDS)}")
        if not 0 <= self.near < self.far:
            raise ValueError(f"evaluate.near: {self.near} must lie below evaluate.far, {self.far}")
        if not 0 < self.min_depth < self.max_depth:
            raise ValueError(f"evaluate.min_depth: {self.min_depth} must lie below evaluate.max_depth")
        if self.max_length < 0:
            raise ValueError(f"evaluate.max_length: {self.max_length} must not be negative")

    @property
    def depth_range(self) -> DepthRange:
        """Depths that count."""
        return DepthRange(self.near, self.far)
