"""Depth errors of a frame, and their means with 95% intervals, as the published evaluators compute them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64
from scipy.special import stdtrit

DEPTH_ERRORS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")


@dataclasses.dataclass(frozen=True)
class DepthRange:
    """The depths that are evaluated, in mm: ground truth strictly between the limits, predictions clipped to them."""

    near: float = 1e-3
    far: float = 150.0

    def valid(self, depth_mm: Float[np.ndarray, "*N"]) -> Bool[np.ndarray, "*N"]:
        """Returns the mask of ground truth to evaluate; 0 and NaN are always excluded."""
        return (depth_mm > self.near) & (depth_mm < self.far)

    def clip(self, depth_mm: Float[np.ndarray, "*N"]) -> Float[np.ndarray, "*N"]:
        """Returns predictions clipped to the range."""
        return np.clip(depth_mm, self.near, self.far)


def depth_errors(
    predicted_mm: Float[np.ndarray, "H W"], truth_mm: Float[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"]
) -> Float64[np.ndarray, "7"] | None:
    """Errors of one frame over its valid pixels, in float64.

    Args:
      predicted_mm: [H,W] aligned and clipped depth, mm, positive.
      truth_mm: [H,W] mm.
      valid: bool [H,W].

    Returns:
      [7] in the order of `DEPTH_ERRORS` (sq_rel and rmse in mm; a1..a3 are fractions within 1.25, 1.25^2, 1.25^3), or
      None for a frame without a valid pixel, which the published means exclude.
    """
    if not valid.any():
        return None
    predicted, truth = predicted_mm[valid].astype(np.float64), truth_mm[valid].astype(np.float64)
    difference = truth - predicted
    ratio = np.maximum(truth / predicted, predicted / truth)
    return np.array(
        [
            np.mean(np.abs(difference) / truth),
            np.mean(difference**2 / truth),
            np.sqrt(np.mean(difference**2)),
            np.sqrt(np.mean((np.log(truth) - np.log(predicted)) ** 2)),
            *(np.mean(ratio < 1.25**power) for power in (1, 2, 3)),
        ]
    )


def mean_and_interval(values: Sequence[float] | np.ndarray) -> tuple[float, tuple[float, float]]:
    """Returns the mean and its 95% interval by Student's t; both limits are NaN if there is only one value."""
    measured = np.asarray(values, np.float64)
    mean = float(measured.mean())
    if len(measured) < 2:
        return mean, (float("nan"), float("nan"))
    half = float(stdtrit(len(measured) - 1, 0.975) * measured.std(ddof=1) / np.sqrt(len(measured)))
    return mean, (mean - half, mean + half)
