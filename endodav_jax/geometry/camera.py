"""The pinhole camera: intrinsics (fx, fy, cx, cy) in pixels, back-projection and projection."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from endodav_jax.geometry.sampling import pixel_grid

# Added to the depth that a point is divided by, as in the published programs.  Points behind the camera are not
# removed: their mirrored pixels stay where they fall, mostly outside the image.
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


def reproject(
    depth: Float[Array, "N H W"], intrinsics: Float[Array, "N 4"], cam_b_from_cam_a: Float[Array, "N 4 4"]
) -> tuple[Float[Array, "N H W 2"], Float[Array, "N H W"]]:
    """Returns where each pixel of camera a lies in camera b (same intrinsics), and its depth there.

    Paper: u_{s→t} = π(K T_{s→t} z_s K⁻¹ u) and z_{s→t}, here as z_s (K R K⁻¹) u + K t: the pixels of the
    moved points of `backproject`, by one small matrix product for all, whose derivative by the motion is one too.
    """
    count, height, width = depth.shape
    product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    camera = intrinsics_matrix(intrinsics)
    rotation, translation = cam_b_from_cam_a[:, :3, :3], cam_b_from_cam_a[:, :3, 3]
    homography = product("nij,njk,nkl->nil", camera, rotation, _inverse_matrix(intrinsics))
    grid = pixel_grid(height, width, dtype=depth.dtype).reshape(-1, 2).T
    rays = product("nij,jp->nip", homography, jnp.concatenate([grid, jnp.ones_like(grid[:1])]))
    there = rays * depth.reshape(count, 1, -1) + product("nij,nj->ni", camera, translation)[..., None]
    x, y, z = (there[:, i].reshape(depth.shape) for i in range(3))
    return _over_depth(x, y, z), z


def _inverse_matrix(intrinsics: Float[Array, "*N 4"]) -> Float[Array, "*N 3 3"]:
    """Returns the inverse of `intrinsics_matrix`."""
    fx, fy, cx, cy = (intrinsics[..., i] for i in range(4))
    return intrinsics_matrix(jnp.stack([1 / fx, 1 / fy, -cx / fx, -cy / fy], -1))


def _over_depth(x: Float[Array, "*N H W"], y: Float[Array, "*N H W"], z: Float[Array, "*N H W"]) -> Array:
    divisor = z + DEPTH_EPSILON
    # A point in the camera's plane has no pixel; any finite one far away will do.
    divisor = jnp.where(jnp.abs(divisor) < DEPTH_EPSILON, DEPTH_EPSILON, divisor)
    return jnp.stack([x / divisor, y / divisor], -1)
