"""The projection loss: neighbouring frames' depths must agree where they see the same point.

Maps are [N,H,W] of pairs (s, t), in the unit of depth unless they are relative; each comes with the mask of pixels
where it counts.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from endodav_jax.geometry.flow import warp_by_flow
from endodav_jax.geometry.sampling import sample_bilinear
from endodav_jax.losses.reduce import variance_of_log

# A depth below it was sampled outside of the neighbour's image, which is padded by zeros.
OUTSIDE_DEPTH = 1e-3
LEAST_RELIEF = 1e-2  # added to the relief, which is 0.2 or more in the body, so that a plane's is not 0


def projection_error(
    pixels_in_t: Float[Array, "N H W 2"],
    depth_of_s_in_t: Float[Array, "N H W"],
    depth_t: Float[Array, "N H W"],
    relative: bool = False,
) -> tuple[Float[Array, "N H W"], Bool[Array, "N H W"]]:
    """Returns |z_{s→t} - ẑ_t| and M = (ẑ_t > 1e-3), ẑ_t = F(z_t; u_{s→t}) (paper's projection loss).

    The paper's form is a length: scaling depth by k scales it by k, so its weight suits only one scale of depth, and it
    falls when all depth shrinks.  The relative form, |z_{s→t} - ẑ_t| / (z_{s→t} + ẑ_t), is between 0 and 1 at any scale
    (Bian et al. 2019) and is not lowered by shrinking; pixels behind camera t do not count in it.

    Args:
      pixels_in_t: u_{s→t}, where each pixel of frame s lies in frame t.
      depth_of_s_in_t: z_{s→t}, its depth there.
      depth_t: z_t, the depth of frame t.
      relative: divide by the sum of both depths.
    """
    sampled = sample_bilinear(depth_t[..., None], pixels_in_t, "zeros")[..., 0]
    inside = sampled > OUTSIDE_DEPTH
    error = jnp.abs(depth_of_s_in_t - sampled)
    if not relative:
        return error, inside
    inside &= depth_of_s_in_t > OUTSIDE_DEPTH
    return error / jnp.where(inside, depth_of_s_in_t + sampled, 1.0), inside


def relief(depth: Float[Array, "N H W"], counted: Bool[Array, "N H W"]) -> Float[Array, "N"]:
    """Returns the standard deviation of each frame's log depth.

    Depth that flattens brings neighbouring frames closer together, whether or not they agree: only over the relief is
    a relative projection error free of that.
    """
    return jnp.sqrt(variance_of_log(depth, counted) + LEAST_RELIEF**2)


def flow_depth_error(
    flow: Float[Array, "N H W 2"], depth_s: Float[Array, "N H W"], depth_t: Float[Array, "N H W"]
) -> tuple[Float[Array, "N H W"], Bool[Array, "N H W"]]:
    """Returns the variant along the optical flow (y, x) from s to t: |F(z_s; flow) - z_t| where F(z_s) > 1e-3.

    The published program warps the depth of s, not that of t, by the flow of s, and so do the golden values.
    """
    warped = warp_by_flow(depth_s[..., None], flow, "zeros")[..., 0]
    return jnp.abs(warped - depth_t), warped > OUTSIDE_DEPTH
