"""Health of the depth predicted during a run: its level, its relief, dead outputs and the camera motion.

A photometric loss can decrease while depth gets worse: everything may shrink together with the camera motion, relief
may flatten to a plane, and a last ReLU that is 0 everywhere has no gradient and never recovers.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from endodav_jax.losses.reduce import variance_of_log

PREFIX = "health/"
MEDIAN_DEPTH = PREFIX + "median_depth"
RELIEF = PREFIX + "relief"
ZERO_SHARE = PREFIX + "zero_share"
TRANSLATION = PREFIX + "translation_in_depths"
MEASURED = (MEDIAN_DEPTH, RELIEF, ZERO_SHARE, TRANSLATION)
# Relative to the start of the run, as logged.
DRIFT = PREFIX + "median_depth_against_start"
RELIEF_KEPT = PREFIX + "relief_against_start"

DEAD_SHARE = 0.99  # with this fraction of its output at 0, a frame has almost no gradient left
_EVERY = 4  # stride between the pixels on which level and relief are measured, along each axis
_DRIFT_TOLD = 2.0  # factor in either direction relative to the start that triggers a warning
_RELIEF_TOLD = 0.5  # fraction of the initial relief below which a warning is given


def health_of(
    disparity: Float[Array, "N H W"],
    depth: Float[Array, "N H W"],
    neighbour_from_frame: Float[Array, "2 N 4 4"],
    in_view: Bool[Array, "N H W"],
) -> dict[str, Float[Array, ""]]:
    """Returns statistics of the depth in a step, by the names of `MEASURED`.

    Args:
      disparity: the network's output, non-negative.
      depth: computed from it, in the unit of the predicted translation.
      neighbour_from_frame: predicted camera motion to both neighbours.
      in_view: pixels to use.

    Returns:
      the median depth; the relief, which is the mean over frames of the standard deviation of log depth; the fraction
      of disparity that is 0; and the length of the predicted translation divided by the median depth.
    """
    seen = in_view[:, ::_EVERY, ::_EVERY]
    sampled = depth[:, ::_EVERY, ::_EVERY]
    median = jnp.exp(jnp.nanmedian(jnp.where(seen, jnp.log(sampled), jnp.nan)))
    length = jnp.linalg.norm(neighbour_from_frame[..., :3, 3], axis=-1).mean()
    measured = {
        MEDIAN_DEPTH: median,
        RELIEF: jnp.sqrt(variance_of_log(sampled, seen)).mean(),
        ZERO_SHARE: ((disparity <= 0) & in_view).sum() / jnp.maximum(in_view.sum(), 1),
        TRANSLATION: length / median,
    }
    return jax.lax.stop_gradient(measured)


def against_start(now: Mapping[str, float], start: Mapping[str, float]) -> dict[str, float]:
    """Returns median depth and relief as multiples of their initial values, by `DRIFT` and `RELIEF_KEPT`."""
    return {
        DRIFT: now[MEDIAN_DEPTH] / start[MEDIAN_DEPTH],
        RELIEF_KEPT: now[RELIEF] / max(start[RELIEF], 1e-12),
    }


def is_dead(measured: Mapping[str, float]) -> bool:
    """Whether the last ReLU is 0 nearly everywhere."""
    return measured[ZERO_SHARE] >= DEAD_SHARE


def warnings_of(compared: Mapping[str, float], projection: bool = True, relative: bool = False) -> dict[str, str]:
    """Returns, by name, a warning for each value of `against_start` that needs attention.

    Args:
      compared: the values.
      projection: whether the run has a projection loss, which may be the cause.
      relative: whether the projection loss is already relative.
    """
    found = {}
    drift, relief = compared[DRIFT], compared[RELIEF_KEPT]
    if not 1 / _DRIFT_TOLD <= drift <= _DRIFT_TOLD and math.isfinite(drift):
        found[DRIFT] = f"median depth is {drift:.2f} times its value at the start"
        if projection:
            other = "" if relative else ", or use config.train.objective.projection_relative=True"
            found[DRIFT] += f"; if this is what lowers the loss, lower config.train.objective.projection_weight{other}"
    if relief < _RELIEF_TOLD:
        found[RELIEF_KEPT] = (
            f"relief is {relief:.2f} of its value at the start: depth is flattening; check parallax and camera motion"
            + (", and lower config.train.objective.projection_weight" if projection else "")
        )
    return found
