"""Which photometric errors count: the better neighbour's, and not those of pixels that look the same unmoved.

Both are Monodepth2's (Godard et al. 2019, section 3.2): the per-pixel minimum over neighbours ignores a neighbour that
does not see a point, and automasking ignores pixels that move with the camera or have no texture, for which an unmoved
neighbour explains the frame at least as well as a warped one.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def least_over_neighbours(
    errors: Float[Array, "P N H W"], weights: Float[Array, "P N H W"]
) -> tuple[Float[Array, "N H W"], Float[Array, "N H W"]]:
    """Returns the smallest error of each pixel over the neighbours where it counts, and that one's weight.

    Args:
      errors: photometric error against each of P neighbours.
      weights: 0 where a pixel does not count against a neighbour; where it counts against none, the result's weight
        is 0 and its error any of them.
    """
    best = jnp.where(weights > 0, errors, jnp.inf).argmin(0)[None]
    return jnp.take_along_axis(errors, best, 0)[0], jnp.take_along_axis(weights, best, 0)[0]


def automask(error: Float[Array, "*map"], unmoved_error: Float[Array, "*map"]) -> Float[Array, "*map"]:
    """Returns 1 where warping explains a pixel better than the unwarped neighbour does, else 0."""
    return (error < unmoved_error).astype(error.dtype)
