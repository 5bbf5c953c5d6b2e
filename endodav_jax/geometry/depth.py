"""Depth from a network's disparity."""

from typing import TypeVar

import jax
import numpy as np

Array = TypeVar("Array", np.ndarray, jax.Array, float)

# Of the published training of EndoDAV and EndoDAC, in which depth is in units of the predicted motion: up to scale.
PUBLISHED_RANGE = (0.1, 150.0)


def depth_from_disparity(
    disparity: Array, min_depth: float = PUBLISHED_RANGE[0], max_depth: float = PUBLISHED_RANGE[1]
) -> Array:
    """Returns 1 / (1 / max_depth + (1 / min_depth - 1 / max_depth) * disparity), of any shape.

    Maps disparity 0..1 to `max_depth`..`min_depth`; values above 1 are nearer still.  A network's own range is in its
    configuration, whose `depth` is this function for that range.
    The smallest disparity is 0, so the result is finite for every output of a network.
    """
    far, near = 1.0 / max_depth, 1.0 / min_depth
    return 1.0 / (far + (near - far) * disparity)


def disparity_from_depth(
    depth: Array, min_depth: float = PUBLISHED_RANGE[0], max_depth: float = PUBLISHED_RANGE[1]
) -> Array:
    """Returns the disparity of a depth of any shape: the inverse of `depth_from_disparity`."""
    far, near = 1.0 / max_depth, 1.0 / min_depth
    return (1.0 / depth - far) / (near - far)
