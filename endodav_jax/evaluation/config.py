"""The `evaluate` section of a configuration; contradictions raise `ValueError` when it is built.

The docstrings of the fields are the help of `endodav evaluate`.
"""

import dataclasses
from typing import Annotated, Literal

from endodav_jax.evaluation.alignment import Rule
from endodav_jax.evaluation.depth_errors import DepthRange
from endodav_jax.fields import check_choices, check_numbers, positional, spelled
from endodav_jax.inference.runtimes import RuntimeConfig
from endodav_jax.inference.windows import AlignRule

Kind = Literal["depth", "disparity"]


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(RuntimeConfig):
    """How predicted depth is evaluated.

    Attributes:
      path: a data set made by `endodav prepare`.
      split: split of the data set: for SCARED `validation`, `test` or `eval`, which the published evaluators all use.
      align: the rule for aligning predictions to the ground truth; `scale_shift` is the published default.
      per_frame: fit the rule on each frame separately instead of once per sequence.
      near: minimum depth that is evaluated, in mm; predictions are clipped to it.
      far: maximum depth that is evaluated, in mm; likewise.
      max_len: number of frames to evaluate in each sequence; 0 for all.
      windows: how the windows of a long video are aligned: `endodav`, `vda` or `none`.
      steady: steady each sequence's depth along its camera's path before it is compared; the path is tracked in the
        frames, with the intrinsics of the data set. An addition to the published method.
      predictions: folder of another method's predictions, evaluated instead of a network: for each sequence a file
        NAME.npz or NAME.npy, or a folder of npy, 16-bit png or exr frames.
      kind: what the predictions are: `depth` or `disparity`.
      label: name of what is evaluated, for the report; empty for the name of the weights or predictions.
    """

    path: Annotated[str, *positional("DATA")] = ""
    split: str = "test"
    align: Rule = "scale_shift"
    per_frame: bool = False
    near: float = DepthRange.near
    far: float = DepthRange.far
    max_len: Annotated[int, spelled("--max-length")] = 0
    windows: AlignRule = "endodav"
    steady: bool = False
    predictions: str = ""
    kind: Kind = "depth"
    label: str = ""

    def __post_init__(self):
        check_choices(self, "evaluate")
        check_numbers(self, "evaluate")
        if self.near >= self.far:
            raise ValueError(f"evaluate.near: {self.near} must be less than evaluate.far, {self.far}")

    @property
    def depth_range(self) -> DepthRange:
        """The depths that are evaluated."""
        return DepthRange(self.near, self.far)
