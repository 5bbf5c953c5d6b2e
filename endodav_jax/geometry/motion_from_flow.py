"""The rigid camera motion that explains optical flow, given depth: Gauss-Newton on reprojection errors.

A network trained on pixels explains every motion by translation, since a sideways shift causes nearly the same flow as
a rotation, and ten times as much for a number of the same size.  Here rotation and translation are the unknowns of one
small least-squares problem, and parallax tells them apart.  Independent motion and wrong flow are outvoted: the larger
a residual, the less it counts (Cauchy weights).  Nothing is learned, so no kind of scene is out of distribution.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from endodav_jax.geometry.flow import flow_targets
from endodav_jax.geometry.rigid import rigid_from_axis_angle
from endodav_jax.geometry.sampling import pixel_grid

ITERATIONS = 16
DAMPING = 1e-6  # of the normal equations, over their mean diagonal: without any motion they can be solved, too
REWEIGHTED = 3  # times that residuals are weighed against the weighted mean of themselves
LEAST_RESIDUAL = 0.02  # pixels; smaller ones are all good
LEAST_DISPARITY = 0.05  # over the mean, of shifted disparity; and least depth of a moved point over that of its ray
SHIFT_DEVIATION = 0.5  # of the disparity's shift over the mean disparity, as expected beforehand
SHIFT_RESIDUAL = 0.01  # pixels; the weight of that expectation
_HIGHEST = jax.lax.Precision.HIGHEST


class FlowMotion(NamedTuple):
    """What explains a flow.

    Attributes:
      cam_b_from_cam_a: [N,4,4], its translation in the unit of 1 / disparity.
      shift: [N], the offset missing from the disparity, in its unit; 0 if it was not asked for.
      residual: [N] pixels, the weighted mean of the unexplained flow.
    """

    cam_b_from_cam_a: Float[Array, "N 4 4"]
    shift: Float[Array, "N"]
    residual: Float[Array, "N"]


def motion_from_flow(
    flow: Float[Array, "N H W 2"],
    disparity: Float[Array, "N H W"],
    intrinsics: Float[Array, "N 4"],
    weights: Float[Array, "N H W"],
    *,
    free_shift: bool = False,
) -> FlowMotion:
    """Returns the motion from camera a to camera b.

    Args:
      flow: (y, x) in pixels from a to b.
      disparity: 1 / depth in camera a, up to scale.
      intrinsics: (fx, fy, cx, cy) in pixels of both cameras.
      weights: of the pixels, 0 for those of which flow or disparity is not known.
      free_shift: disparity is known up to a shift only, which is found along with the motion.

    A few thousand pixels are enough: pass small maps, with flow and intrinsics in their pixels.
    """
    total = jnp.maximum(jnp.sum(weights, (1, 2)), 1e-6)
    unit = jnp.sum(weights * disparity, (1, 2)) / total
    unit = jnp.where(unit > 0, unit, 1.0)
    relative = disparity / unit[:, None, None]
    focal, centre = intrinsics[:, None, None, :2], intrinsics[:, None, None, 2:]
    rays = (pixel_grid(*flow.shape[1:3], dtype=flow.dtype) - centre) / focal
    rays = jnp.concatenate([rays, jnp.ones_like(rays[..., :1])], -1)
    targets = flow_targets(flow)

    def residuals(motion, shift):
        """Points over their depth in a as b sees them, their disparity, and what is left between flow and pixel."""
        shifted = jnp.maximum(relative + shift[:, None, None], LEAST_DISPARITY)
        moved = jnp.einsum("nij,nhwj->nhwi", motion[:, :3, :3], rays, precision=_HIGHEST)
        moved = moved + shifted[..., None] * motion[:, None, None, :3, 3]
        ahead = jnp.maximum(moved[..., 2], LEAST_DISPARITY)
        residual = targets - (focal * moved[..., :2] / ahead[..., None] + centre)
        length = jnp.linalg.norm(residual, axis=-1)
        mean = jnp.sum(weights * jnp.minimum(length, 1e3), (1, 2)) / total
        counted = weights * (moved[..., 2] > LEAST_DISPARITY)
        robust = counted
        for _ in range(REWEIGHTED):  # the scale of the good ones, which the first mean does not know
            scale = jnp.sum(robust * length, (1, 2)) / jnp.maximum(jnp.sum(robust, (1, 2)), 1e-6)
            scale = jnp.maximum(scale, LEAST_RESIDUAL)[:, None, None]
            robust = counted / (1 + (length / scale) ** 2)
        return moved, shifted, residual, robust, mean

    def improved(_, state):
        motion, shift = state
        moved, shifted, residual, w, _ = residuals(motion, shift)
        z = jnp.maximum(moved[..., 2], LEAST_DISPARITY)
        x, y, near = moved[..., 0] / z, moved[..., 1] / z, shifted / z
        zero, one = jnp.zeros_like(x), jnp.ones_like(x)
        # Derivatives of (x, y) by a turn about, and a shift along, the axes of camera b; then by the disparity.
        by_x = [-x * y, one + x * x, -y, near, zero, -x * near]
        by_y = [-one - y * y, x * y, x, zero, near, -y * near]
        if free_shift:
            t = motion[:, None, None, :3, 3]
            by_x.append((t[..., 0] - x * t[..., 2]) / z)
            by_y.append((t[..., 1] - y * t[..., 2]) / z)
        jacobian = focal[..., None] * jnp.stack([jnp.stack(by_x, -1), jnp.stack(by_y, -1)], -2)  # [N,H,W,2,6 or 7]
        normal = jnp.einsum("nhw,nhwki,nhwkj->nij", w, jacobian, jacobian, precision=_HIGHEST)
        right = jnp.einsum("nhw,nhwki,nhwk->ni", w, jacobian, residual, precision=_HIGHEST)
        size = normal.shape[-1]
        diagonal = jnp.trace(normal[:, :6, :6], axis1=1, axis2=2)[:, None, None] / 6
        normal = normal + (DAMPING * diagonal + 1e-9) * jnp.eye(size)
        if free_shift:
            prior = (SHIFT_RESIDUAL / SHIFT_DEVIATION) ** 2 * jnp.sum(w, (1, 2))
            normal = normal.at[:, 6, 6].add(prior)
            right = right.at[:, 6].add(-prior * shift)
        step = jnp.linalg.solve(normal, right[..., None])[..., 0]
        motion = jnp.matmul(rigid_from_axis_angle(step[:, :3], step[:, 3:6]), motion, precision=_HIGHEST)
        return motion, shift + step[:, 6] if free_shift else shift

    start = jnp.broadcast_to(jnp.eye(4, dtype=flow.dtype), (flow.shape[0], 4, 4)), jnp.zeros_like(unit)
    motion, shift = jax.lax.fori_loop(0, ITERATIONS, improved, start)
    *_, residual = residuals(motion, shift)
    return FlowMotion(motion.at[:, :3, 3].divide(unit[:, None]), shift * unit, residual)
