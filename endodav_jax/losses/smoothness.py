"""Differences between neighbouring pixels, weighted down where the image has an edge."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Keeps the mean that a disparity is divided by from being zero, as the published programs do.
MEAN_EPSILON = 1e-7

# (along x [N,H,W-1], along y [N,H-1,W]): one value for each pair of horizontal or vertical neighbours.
PairMaps = tuple[Float[Array, "N H W-1"], Float[Array, "N H-1 W"]]


def neighbour_differences(values: Float[Array, "N H W C"]) -> PairMaps:
    """Returns the absolute differences of neighbouring pixels, averaged over channels."""
    along_x = jnp.abs(values[:, :, :-1] - values[:, :, 1:]).mean(-1)
    along_y = jnp.abs(values[:, :-1] - values[:, 1:]).mean(-1)
    return along_x, along_y


def edge_aware_differences(values: Float[Array, "N H W C"], image: Float[Array, "N H W D"]) -> PairMaps:
    """Returns |∂ values| exp(-|∂ image|), both averaged over their channels."""
    (value_x, value_y), (image_x, image_y) = neighbour_differences(values), neighbour_differences(image)
    return value_x * jnp.exp(-image_x), value_y * jnp.exp(-image_y)


def pair_masks(mask: Bool[Array, "N H W"]) -> tuple[Bool[Array, "N H W-1"], Bool[Array, "N H-1 W"]]:
    """Returns the masks of horizontal and vertical pairs in which both pixels count."""
    return mask[:, :, :-1] & mask[:, :, 1:], mask[:, :-1] & mask[:, 1:]


def mean_normalised(disparity: Float[Array, "N H W"], mask: Bool[Array, "N H W"]) -> Float[Array, "N H W"]:
    """Returns each map divided by its mean inside the mask, so that shrinking does not make it smoother."""
    weight = mask.astype(disparity.dtype)
    mean = (disparity * weight).sum((1, 2)) / jnp.maximum(weight.sum((1, 2)), 1)
    return disparity / (mean + MEAN_EPSILON)[:, None, None]
