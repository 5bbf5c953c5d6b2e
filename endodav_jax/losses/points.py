"""Depth against that of points followed along a solved camera path: sparse, but right where the network is wrong.

Sparse depth from structure from motion as a teacher is the idea of Liu et al., "Dense depth estimation in monocular
endoscopy with self-supervised learning methods" (TMI 2020), here without a reconstruction made beforehand.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from endodav_jax.geometry.sampling import sample_bilinear


def point_errors(
    depth: Float[Array, "N H W"], points: Float[Array, "N P 4"], length: int
) -> tuple[Float[Array, "N P"], Float[Array, "N P"]]:
    """Absolute error of log depth at points, up to one scale for each clip.

    Args:
      depth: positive.
      points: x and y in pixels, log depth in a unit of the clip, and how sure that is; 0 is no point.
      length: frames of a clip, of which there are N / length.

    Returns:
      The errors and their weights.
    """
    found = sample_bilinear(jnp.log(depth)[..., None], points[:, None, :, :2], "border")[:, 0, :, 0]
    weights = points[..., 3]
    off = (weights * (found - points[..., 2])).reshape(-1, length * points.shape[1])
    total = weights.reshape(off.shape).sum(1)
    unit = jnp.repeat(off.sum(1) / jnp.maximum(total, 1e-6), length)[:, None]
    return jnp.abs(found - points[..., 2] - unit), weights
