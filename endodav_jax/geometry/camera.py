"""The pinhole camera: intrinsics (fx, fy, cx, cy) in pixels, back-projection and projection."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from endodav_jax.geometry.rigid import transform_points
from endodav_jax.geometry.sampling import pixel_grid

# Added to the depth a point is divided by, as the published programs do.  Points behind the camera are not cut
# away: their mirrored pixels lie where they lie, mostly outside of the image.
DEPTH_EPSILON = 1e-7


def intrinsics_matrix(intrinsics: Float[Array, "*N 4"]) -> Float[Array, "*N 3 3"]:
    """Returns [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]."""
    fx, fy, cx, cy = (intrinsics[..., i] for i in range(4))
    zero, one = jnp.zeros_like(fx), jnp.ones_like(fx)
    rows = ([fx, zero, cx], [zero, fy, cy], [zero, zero, one])
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def intrinsics_vector(matrix: Float[Array, "*N R C"]) -> Float[Array, "*N 4"]:
    """Returns (fx, fy, cx, cy) of a 3x3 or 4x4 camera matrix without skew."""
    return jnp.stack([matrix[..., 0, 0], matrix[..., 1, 1], matrix[..., 0, 2], matrix[..., 1, 2]], -1)


def backproject(depth: Float[Array, "*N H W"], intrinsics: Float[Array, "*N 4"]) -> Float[Array, "*N H W 3"]:
    """Returns each pixel's point in the camera's frame, z K⁻¹ (u, v, 1), in the unit of `depth`."""
    grid = pixel_grid(*depth.shape[-2:], dtype=depth.dtype)
    fx, fy, cx, cy = (intrinsics[..., i, None, None] for i in range(4))
    return jnp.stack([(grid[..., 0] - cx) / fx * depth, (grid[..., 1] - cy) / fy * depth, depth], -1)


def project(
    points: Float[Array, "*N H W 3"], intrinsics: Float[Array, "*N 4"]
) -> tuple[Float[Array, "*N H W 2"], Float[Array, "*N H W"]]:
    """Returns the pixels (x, y) of points in the camera's frame, and their depth."""
    fx, fy, cx, cy = (intrinsics[..., i, None, None] for i in range(4))
    x, y, z = (points[..., i] for i in range(3))
    divisor = z + DEPTH_EPSILON
    # A point in the camera's plane has no pixel; any finite one far away will do.
    divisor = jnp.where(jnp.abs(divisor) < DEPTH_EPSILON, DEPTH_EPSILON, divisor)
    return jnp.stack([(fx * x + cx * z) / divisor, (fy * y + cy * z) / divisor], -1), z


def reproject(
    depth: Float[Array, "*N H W"], intrinsics: Float[Array, "*N 4"], cam_b_from_cam_a: Float[Array, "*N 4 4"]
) -> tuple[Float[Array, "*N H W 2"], Float[Array, "*N H W"]]:
    """Returns where each pixel of camera a lies in camera b (same intrinsics), and its depth there.

    Paper: u_{s→t} = π(K T_{s→t} z_s K⁻¹ u) and z_{s→t}.
    """
    return project(transform_points(cam_b_from_cam_a, backproject(depth, intrinsics)), intrinsics)
