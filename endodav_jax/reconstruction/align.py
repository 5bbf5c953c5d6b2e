"""Estimates the pose of a frame relative to earlier surfaces: joint Gauss-Newton on geometry and texture.

Residuals of a reference's pixel with point x, unit normal n and texture a, seen in the frame at u = π(T x):
point to plane, n·(T x − d(u) K⁻¹ u) over its depth (Chen & Medioni 1992, with projective association), and texture,
b(u) − a.  Both are weighted with Student's t, each with its own scale estimated along with the pose (Kerl, Sturm &
Cremers 2013), so that they need not be tuned against each other.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

from endodav_jax.geometry.rigid import rigid_from_axis_angle
from endodav_jax.geometry.sampling import sample_bilinear

FREEDOM = 5.0  # of Student's t
LEAST_SCALES = (5e-4, 0.05)  # lower bounds of the scales of geometry (relative to depth) and texture
FIRST_SCALES = (0.02, 0.5)
ARRIVED = 2e-6  # radians and units of depth
DAMPING = 1e-6
NEAREST = 1e-3  # in units of depth: points at or behind the camera are not visible
GEOMETRY_LIMIT = 0.2  # relative difference of depth above which two surfaces are unrelated
LEAST_SEEN = 0.1  # share of the references below which an alignment is none: what is not seen costs nothing

_HIGHEST = jax.lax.Precision.HIGHEST


class Fit(NamedTuple):
    """The result of an alignment.

    Attributes:
      update: [4,4], to be multiplied onto `frame_from_world` from the left.
      log_scale: logarithm of the factor on the frame's depth that fits the references best.
      overlap: fraction of the references' usable pixels that are visible in the frame.
      correlation: of texture over them, -1..1.
      difference: scale of the distribution of the relative difference of depth.
      cost: sum of robust residuals over the weight, to compare starts by; infinite where next to nothing is seen.
      information: [7,7] of (translation, rotation, log scale).
    """

    update: Float[Array, "4 4"]
    log_scale: Float[Array, ""]
    overlap: Float[Array, ""]
    correlation: Float[Array, ""]
    difference: Float[Array, ""]
    cost: Float[Array, ""]
    information: Float[Array, "7 7"]


@functools.partial(jax.jit, static_argnames=("steps",))
def align(
    surfaces: Float[Array, "M h w 8"],
    active: Float[Array, "M"],
    maps: Float[Array, "h w 5"],
    intrinsics: Float[Array, "4"],
    frame_from_reference: Float[Array, "M 4 4"],
    log_scale: Float[Array, ""],
    scale_weight: Float[Array, ""],
    *,
    steps: int,
) -> Fit:
    """Aligns a frame with references on one pyramid level.

    Args:
      surfaces: `Level.surface` of M references.
      active: 1 for each reference in use, 0 for empty slots.
      maps: `Level.maps` of the frame.
      intrinsics: of both.
      frame_from_reference: initial pose.
      log_scale: initial log scale of the frame's depth.
      scale_weight: 1 / variance of the log scale about 0; infinite keeps it fixed.
      steps: maximum number of steps; 0 only evaluates.
    """
    pixels = surfaces.reshape(surfaces.shape[0], -1, 8)
    usable = pixels[..., 7] * active[:, None]
    held = ~jnp.isfinite(scale_weight)
    prior = jnp.where(held, 1e12, scale_weight)

    def system(update, scale, scales):
        motions = jnp.einsum("ij,mjk->mik", update, frame_from_reference, precision=_HIGHEST)
        residuals, jacobians, seen, texture = _linearised(pixels, usable, maps, intrinsics, motions, scale)
        parts = [(*part, least) for *part, least in zip(residuals, jacobians, scales, LEAST_SCALES, strict=True)]
        scales = jnp.stack([_student_scale(residual, sigma, seen, least) for residual, _, sigma, least in parts])
        hessian, gradient, cost = jnp.zeros((7, 7)), jnp.zeros(7), jnp.zeros(())
        for (residual, jacobian, _, least), sigma in zip(parts, scales, strict=True):
            square = (residual / sigma) ** 2
            weight = seen * (FREEDOM + 1) / (FREEDOM + square) / sigma**2
            weighted = jacobian * weight
            hessian += jnp.einsum("imp,jmp->ij", weighted, jacobian, precision=_HIGHEST)
            gradient += jnp.einsum("imp,mp->i", weighted, residual, precision=_HIGHEST)
            cost += jnp.sum(seen * jnp.log1p((residual / (10 * least)) ** 2))
        hessian = hessian.at[6, 6].add(prior)
        gradient = gradient.at[6].add(jnp.where(held, 0.0, prior * scale))
        return hessian, gradient, scales, (seen, texture, cost)

    def busy(state):
        count, _, _, _, moved = state
        return (count < steps) & (moved > ARRIVED)

    def step(state):
        count, update, scale, scales, _ = state
        hessian, gradient, scales, _ = system(update, scale, scales)
        hessian = hessian + DAMPING * jnp.diag(jnp.diag(hessian) + 1.0)
        delta = -jnp.linalg.solve(hessian, gradient)
        delta = jnp.where(jnp.isfinite(delta), jnp.clip(delta, -0.2, 0.2), 0.0)
        motion = rigid_from_axis_angle(delta[3:6], delta[:3])
        update = jnp.matmul(motion, update, precision=_HIGHEST)
        return count + 1, update, scale + delta[6], scales, jnp.abs(delta).max()

    state = (0, jnp.eye(4), log_scale, jnp.array(FIRST_SCALES), jnp.array(1.0))
    _, update, scale, scales, _ = jax.lax.while_loop(busy, step, state)
    hessian, _, scales, (seen, texture, cost) = system(update, scale, scales)
    count = jnp.maximum(seen.sum(), 1.0)
    there, here = texture
    overlap = count / jnp.maximum(usable.sum(), 1.0)
    moments = [(seen * a * b).sum() for a, b in ((there, here), (there, there), (here, here))]
    return Fit(
        update=update,
        log_scale=scale,
        overlap=overlap,
        correlation=moments[0] / jnp.sqrt(moments[1] * moments[2] + 1e-9),
        difference=scales[0],
        cost=jnp.where(overlap < LEAST_SEEN, jnp.inf, cost / count + 4.0 * (1 - overlap)),
        information=hessian,
    )


def _linearised(pixels, usable, maps, intrinsics, motions, scale):
    """Residuals ([M,P] geometry, texture), their derivatives [7,M,P] each, visibility weights, and textures."""
    rotation, translation = motions[:, :3, :3], motions[:, :3, 3]
    points = jnp.einsum("mij,mpj->imp", rotation, pixels[..., :3], precision=_HIGHEST) + translation.T[:, :, None]
    normals = jnp.einsum("mij,mpj->imp", rotation, pixels[..., 3:6], precision=_HIGHEST)
    x, y, z = points
    ahead = z > NEAREST
    inverse = 1 / jnp.where(ahead, z, 1.0)
    fx, fy, cx, cy = intrinsics
    u, v = fx * x * inverse + cx, fy * y * inverse + cy
    height, width = maps.shape[:2]
    inside = ahead & (u >= 1) & (u <= width - 2) & (v >= 1) & (v <= height - 2)
    where = jnp.stack([jnp.where(inside, u, 0.0), jnp.where(inside, v, 0.0)], -1)
    sampled = sample_bilinear(maps[None], where.reshape(1, 1, -1, 2), "border")[0, 0].reshape(*u.shape, 5)
    texture, slope_x, slope_y, depth, known = (sampled[..., i] for i in range(5))
    depth = depth * jnp.exp(scale)
    ratio = depth * inverse
    seen = usable * inside * (known > 0.99) * (jnp.abs(ratio - 1) < GEOMETRY_LIMIT)

    across = sum(n * p for n, p in zip(normals, points, strict=True)) * inverse  # n·ray
    geometry = across * (1 - ratio)
    brightness = texture - pixels[..., 6]
    # Derivatives with respect to a point in the frame; the match is fixed, as in projective association.
    by_point = [n * inverse for n in normals]
    gx, gy = slope_x * fx * inverse, slope_y * fy * inverse
    texture_by_point = [gx, gy, -(gx * x + gy * y) * inverse]

    def seven(d, by_scale):
        return jnp.stack([*d, d[2] * y - d[1] * z, d[0] * z - d[2] * x, d[1] * x - d[0] * y, by_scale])

    jacobians = (seven(by_point, -across * ratio), seven(texture_by_point, jnp.zeros_like(x)))
    residuals = (jnp.where(seen > 0, geometry, 0.0), jnp.where(seen > 0, brightness, 0.0))
    return residuals, jacobians, seen, (pixels[..., 6], texture)


def _student_scale(residual, scale, seen, least):
    """The scale of Student's t by fixed-point steps from the last one."""
    count = jnp.maximum(seen.sum(), 1.0)
    for _ in range(3):
        square = residual**2
        weight = (FREEDOM + 1) / (FREEDOM + square / scale**2)
        scale = jnp.maximum(jnp.sqrt((seen * weight * square).sum() / count), least)
    return scale


def rigid_exactly(matrix: Float[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """Returns the nearest rigid motion in float64, since products of many float32 rotations drift."""
    matrix = np.asarray(matrix, np.float64).copy()
    u, _, v = np.linalg.svd(matrix[:3, :3])
    matrix[:3, :3] = u @ v
    matrix[3] = 0, 0, 0, 1
    return matrix
