"""Relative depth brought to the scale of the ground truth, over a whole sequence or frame by frame.

Every rule is a scale and a shift, so that a sequence is aligned in two passes over its frames: one that fits, one
that applies.  `scale_shift` is the published default, `median` the older convention of the field; `least_squares`
and `disparity` are the closest fit in depth and in inverse depth.
"""

import dataclasses
from typing import Literal

import numpy as np

Rule = Literal["scale_shift", "median", "least_squares", "disparity"]
RULES: tuple[Rule, ...] = ("scale_shift", "median", "least_squares", "disparity")

_LEAST_SPREAD = 1e-12  # a constant prediction carries no scale; it is moved to the truth's level as it is


@dataclasses.dataclass(frozen=True)
class Alignment:
    """predicted -> scale * predicted + shift, in depth, or in inverse depth where `inverse` says so."""

    scale: float
    shift: float
    inverse: bool = False

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """Applies it to depth of any shape; the caller clips."""
        if not self.inverse:
            return depth * np.asarray(self.scale, depth.dtype) + np.asarray(self.shift, depth.dtype)
        disparity = self.scale / np.maximum(depth, 1e-6) + self.shift
        return (1.0 / np.maximum(disparity, 1e-6)).astype(depth.dtype)


def fit_alignment(rule: Rule, predicted: np.ndarray, truth: np.ndarray) -> Alignment:
    """Fits one rule on the valid pixels of a frame or of a whole sequence.

    Args:
      rule: one of `RULES`.  `scale_shift` matches median and mean absolute deviation from it; `median` the median
        alone; `least_squares` minimises the squared difference of depth, `disparity` that of inverse depth.
      predicted: [N] predicted depth at valid pixels.
      truth: [N] ground truth, mm.

    Raises:
      ValueError: no pixels, or a rule that does not exist.
    """
    if len(predicted) == 0:
        raise ValueError("no valid pixel to align by")
    predicted, truth = predicted.astype(np.float64), truth.astype(np.float64)
    if rule == "scale_shift":
        middle, level = np.median(predicted), np.median(truth)
        spread = np.mean(np.abs(predicted - middle))
        scale = np.mean(np.abs(truth - level)) / spread if spread > _LEAST_SPREAD else 1.0
        return Alignment(float(scale), float(level - scale * middle))
    if rule == "median":
        return Alignment(float(np.median(truth) / np.median(predicted)), 0.0)
    if rule == "least_squares":
        return Alignment(*least_squares(predicted, truth))
    if rule == "disparity":
        return Alignment(*least_squares(1.0 / np.maximum(predicted, 1e-6), 1.0 / truth), inverse=True)
    raise ValueError(f"no alignment rule {rule!r}; there are {', '.join(RULES)}")


def least_squares(predicted: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Returns the (scale, shift) that minimise the squared difference; (1, 0) where the prediction is constant."""
    middle = predicted.mean()
    spread = np.mean((predicted - middle) ** 2)
    if spread <= _LEAST_SPREAD:
        return 1.0, 0.0
    scale = float(np.mean((predicted - middle) * (target - target.mean())) / spread)
    return scale, float(target.mean() - scale * middle)
