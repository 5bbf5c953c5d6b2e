"""Whether the depth that a run predicts is still depth: its level, its relief, what is dead, how far the camera moves.

A photometric loss can fall while depth gets worse: everything may shrink together with the camera's motion, relief may
flatten to a plane, and a last ReLU that is 0 everywhere has no derivative and never comes back.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

PREFIX = "health/"
MEDIAN_DEPTH = PREFIX + "median_depth"
RELIEF = PREFIX + "relief"
ZERO_SHARE = PREFIX + "zero_share"
TRANSLATION = PREFIX + "translation_in_depths"
MEASURED = (MEDIAN_DEPTH, RELIEF, ZERO_SHARE, TRANSLATION)
# Against the run's start, as logged.
DRIFT = PREFIX + "median_depth_against_start"
RELIEF_KEPT = PREFIX + "relief_against_start"

DEAD_SHARE = 0.99  # a frame with as much of its output at 0 has next to no derivative left
_EVERY = 4  # pixels between those that level and relief are measured on, along each axis
_DRIFT_TOLD = 2.0  # times deeper or shallower than at the start
_RELIEF_TOLD = 0.5  # of the start's


def health_of(
    disparity: Float[Array, "N H W"],
    depth: Float[Array, "N H W"],
    neighbour_from_frame: Float[Array, "2 N 4 4"],
    in_view: Bool[Array, "N H W"],
) -> dict[str, Float[Array, ""]]:
    """Returns, by the names of `MEASURED`, what a step's depth looks like.

    Args:
      disparity: the network's output, 0 or more.
      depth: made of it, in the unit of the predicted translation.
      neighbour_from_frame: predicted motion of the camera to both neighbours.
      in_view: pixels that count.

    Returns:
      the median depth; the relief, which is the mean over frames of the standard deviation of log depth; the share of
      disparity that is 0; and the length of the predicted translation over the median depth.
    """
    seen = in_view[:, ::_EVERY, ::_EVERY]
    log_depth = jnp.log(depth[:, ::_EVERY, ::_EVERY])
    count = jnp.maximum(seen.sum((1, 2)), 1)
    mean = jnp.where(seen, log_depth, 0).sum((1, 2)) / count
    variance = jnp.where(seen, (log_depth - mean[:, None, None]) ** 2, 0).sum((1, 2)) / count
    median = jnp.exp(jnp.nanmedian(jnp.where(seen, log_depth, jnp.nan)))
    length = jnp.linalg.norm(neighbour_from_frame[..., :3, 3], axis=-1).mean()
    measured = {
        MEDIAN_DEPTH: median,
        RELIEF: jnp.sqrt(variance).mean(),
        ZERO_SHARE: ((disparity <= 0) & in_view).sum() / jnp.maximum(in_view.sum(), 1),
        TRANSLATION: length / median,
    }
    return jax.lax.stop_gradient(measured)


def against_start(now: Mapping[str, float], start: Mapping[str, float]) -> dict[str, float]:
    """Returns median depth and relief as multiples of what they were at the start, by `DRIFT` and `RELIEF_KEPT`."""
    return {
        DRIFT: now[MEDIAN_DEPTH] / start[MEDIAN_DEPTH],
        RELIEF_KEPT: now[RELIEF] / max(start[RELIEF], 1e-12),
    }


def is_dead(measured: Mapping[str, float]) -> bool:
    """Whether the last ReLU is shut nearly everywhere."""
    return measured[ZERO_SHARE] >= DEAD_SHARE


def worries(compared: Mapping[str, float]) -> dict[str, str]:
    """Returns, by name, a line for each of `against_start` that a person should look at."""
    found = {}
    drift, relief = compared[DRIFT], compared[RELIEF_KEPT]
    if not 1 / _DRIFT_TOLD <= drift <= _DRIFT_TOLD and math.isfinite(drift):
        found[DRIFT] = (
            f"median depth is {drift:.2f} times what it was at the start; where loss falls by that, lower "
            "config.train.objective.projection_weight, or use config.train.objective.projection_relative=True"
        )
    if relief < _RELIEF_TOLD:
        found[RELIEF_KEPT] = (
            f"relief is {relief:.2f} of what it was at the start: depth flattens; look at parallax and camera motion, "
            "and lower config.train.objective.projection_weight"
        )
    return found
