"""Aligns relative depth to the scale of the ground truth, over a whole sequence or per frame.

Every rule is a scale and a shift, so a sequence is aligned in two passes over its frames: one to fit, one
to apply.  `scale_shift` is the published default, `median` the older convention of the field; `least_squares`
and `disparity` are least-squares fits in depth and in inverse depth.
"""

import dataclasses
from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

Rule = Literal["scale_shift", "median", "least_squares", "disparity"]
RULES: tuple[Rule, ...] = get_args(Rule)

_LEAST_PREDICTED = float(np.finfo(np.float32).tiny)  # keeps inverse depth finite, whatever the prediction's unit
_LEAST_DISPARITY = 1e-6  # 1/mm: keeps aligned depth finite
_LARGEST = float(np.finfo(np.float32).max)  # depth is float32
# A constant prediction has no scale; it is only shifted to the level of the ground truth.  It is constant below these
# spreads, which are relative, since predictions are in any unit.
_LEAST_DEVIATION = 1e-12  # of the mean deviation from the median, to the median
_LEAST_VARIANCE = 1e-12  # to the mean square


@dataclasses.dataclass(frozen=True)
class Alignment:
    """predicted -> scale * predicted + shift, in depth, or in inverse depth if `inverse` is true.

    Raises:
      ValueError: scale or shift is not finite in float32.
    """

    scale: float
    shift: float
    inverse: bool = False

    def __post_init__(self):
        if not (abs(self.scale) <= _LARGEST and abs(self.shift) <= _LARGEST):  # `not <=` also catches NaN
            raise ValueError(
                f"cannot be aligned: scale {self.scale:g}, shift {self.shift:g}; the predictions span too much"
            )

    @classmethod
    def of_medians(cls, found: float, level: float) -> "Alignment":
        """The scale that brings the predicted median `found` to the true one.

        Raises:
          ValueError: the predicted median is not above 0, so no such scale exists.
        """
        if not found > 0:
            raise ValueError(
                f"cannot be aligned: the median of the predicted depth is {found:g}; predict a positive depth for more "
                "than half of the valid pixels, or use another rule than median"
            )
        with np.errstate(over="ignore"):
            return cls(float(np.divide(level, found)), 0.0)

    @classmethod
    def of_levels(cls, middle: float, spread: float, level: float, wanted: float) -> "Alignment":
        """Moves the predicted median to the true one and the mean deviation `spread` from it to `wanted`."""
        scale = wanted / spread if spread > _LEAST_DEVIATION * abs(middle) else 1.0
        return cls(float(scale), float(level - scale * middle))

    def __call__(self, depth: Float[np.ndarray, "*N"]) -> Float[np.ndarray, "*N"]:
        """Applies it to depth of any shape; the caller clips."""
        if not self.inverse:
            return depth * np.asarray(self.scale, depth.dtype) + np.asarray(self.shift, depth.dtype)
        disparity = self.scale / np.maximum(depth, _LEAST_PREDICTED) + self.shift
        return (1.0 / np.maximum(disparity, _LEAST_DISPARITY)).astype(depth.dtype)


def fit_alignment(rule: Rule, predicted: Float[np.ndarray, "N"], truth: Float[np.ndarray, "N"]) -> Alignment:
    """Fits one rule on the valid pixels of a frame or of a whole sequence.

    Args:
      rule: one of `RULES`.  `scale_shift` matches the median and the mean absolute deviation from it; `median` only
        the median; `least_squares` minimises the squared difference in depth, `disparity` that in inverse depth.
      predicted: [N] predicted depth at valid pixels.
      truth: [N] ground truth, mm.

    Raises:
      ValueError: there are no pixels, the rule does not exist, or it has no fit for these numbers.
    """
    if len(predicted) == 0:
        raise ValueError("no valid pixel to align on")
    predicted, truth = predicted.astype(np.float64), truth.astype(np.float64)
    if rule == "scale_shift":
        middle, level = np.median(predicted), np.median(truth)
        return Alignment.of_levels(middle, np.mean(np.abs(predicted - middle)), level, np.mean(np.abs(truth - level)))
    if rule == "median":
        return Alignment.of_medians(float(np.median(predicted)), float(np.median(truth)))
    if rule in ("least_squares", "disparity"):
        return least_squares_of_pieces([(predicted, truth)], inverse=rule == "disparity")
    raise ValueError(f"no alignment rule {rule!r}; choose from {', '.join(RULES)}")


def least_squares_of_pieces(pairs: Iterable[tuple[np.ndarray, np.ndarray]], inverse: bool) -> Alignment:
    """Fits (predicted, truth) given in pieces: in depth, or, with `inverse`, in inverse depth.

    Raises:
      ValueError: no pixels, or numbers that have no fit.
    """
    # Centred moments, updated by those of each piece (Chan et al. 1979): differences of large sums would be noise.
    count, mean_p, mean_t, variance, covariance = 0, 0.0, 0.0, 0.0, 0.0
    for predicted, truth in pairs:
        p, t = predicted.astype(np.float64), truth.astype(np.float64)
        if inverse:
            p, t = 1.0 / np.maximum(p, _LEAST_PREDICTED), 1.0 / t
        if not len(p):
            continue
        count += len(p)
        share = len(p) / count
        off_p, off_t = p.mean() - mean_p, t.mean() - mean_t
        centred = p - p.mean()
        spread, together = centred @ centred / len(p), centred @ (t - t.mean()) / len(p)
        variance += share * (spread - variance + (1 - share) * off_p**2)
        covariance += share * (together - covariance + (1 - share) * off_p * off_t)
        mean_p, mean_t = mean_p + share * off_p, mean_t + share * off_t
    if not count:
        raise ValueError("no valid pixel to align on")
    scale = covariance / variance if variance > _LEAST_VARIANCE * (mean_p**2 + variance) else 1.0
    return Alignment(float(scale), float(mean_t - scale * mean_p), inverse)
