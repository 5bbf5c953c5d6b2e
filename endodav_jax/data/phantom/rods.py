"""Rods with round ends: their intersections with rays, and their distances from straight ways."""

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.shapes import Points

FAR_MM = 1e9  # depth of a ray that misses


def meet_rod(rays: Points, base: jax.Array, tip: jax.Array, radius: jax.Array) -> tuple[jax.Array, Points, jax.Array]:
    """Where rays from the camera meet a rod with a ball at its tip.

    Args:
      rays: directions with z = 1, each [N].
      base: [3] mm, in camera coordinates.
      tip: [3].
      radius: 0 is no rod.

    Returns:
      depth in mm (`FAR_MM` where it is missed), the unit normal, and the distance along the rod from its tip.
    """
    length = jnp.linalg.norm(tip - base)
    axis = (tip - base) / length
    # The shaft, where the part of depth * ray - base across the axis is one radius long; then the ball at the tip.
    along_ray = axis[0] * rays[0] + axis[1] * rays[1] + axis[2]
    along_base = (axis * base).sum()
    across = tuple(r - along_ray * a for r, a in zip(rays, axis, strict=True))
    off = base - along_base * axis
    depth = _quadratic(across, off, radius)
    place = depth * along_ray - along_base
    on_side = (depth > 0) & (place >= 0) & (place <= length)
    ball = _quadratic(rays, tip, radius)
    depth = jnp.where(on_side, depth, FAR_MM)
    depth = jnp.where((ball > 0) & (ball < depth), ball, depth)
    depth = jnp.where(radius > 0, depth, FAR_MM)
    place = jnp.clip(depth * along_ray - along_base, 0.0, length)
    away = tuple(depth * r - (b + place * a) for r, b, a in zip(rays, base, axis, strict=True))
    inverse = jax.lax.rsqrt(sum(c * c for c in away) + 1e-12)
    return depth, tuple(c * inverse for c in away), length - place


def nearest_pass(points: Points, goal: jax.Array, base: jax.Array, tip: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How near straight ways from `points` to `goal` [3] come to the segment from `base` to `tip` [3].

    Returns:
      distance [N] in mm, and where on the way that is, 0 at the point and 1 at the goal.
    """
    # Two segments' nearest points (Ericson, "Real-Time Collision Detection", 5.1.9).
    way = tuple(g - p for g, p in zip(goal, points, strict=True))
    axis = tip - base
    off = tuple(p - b for p, b in zip(points, base, strict=True))
    a = sum(w * w for w in way) + 1e-9
    e = (axis * axis).sum() + 1e-9
    b, c, f = (
        sum(u * v for u, v in zip(one, other, strict=True)) for one, other in ((way, axis), (way, off), (axis, off))
    )
    s = jnp.clip((b * f - c * e) / jnp.maximum(a * e - b * b, 1e-6), 0.0, 1.0)
    r = jnp.clip((b * s + f) / e, 0.0, 1.0)
    s = jnp.clip((b * r - c) / a, 0.0, 1.0)
    gap = tuple(o + s * w - r * x for o, w, x in zip(off, way, axis, strict=True))
    return jnp.sqrt(sum(g * g for g in gap)), s


def distance(points: Points, base: jax.Array, tip: jax.Array) -> jax.Array:
    """Distance [N] in mm of points from the segment from `base` to `tip` [3]."""
    axis = tip - base
    off = tuple(p - b for p, b in zip(points, base, strict=True))
    r = jnp.clip(sum(o * x for o, x in zip(off, axis, strict=True)) / ((axis * axis).sum() + 1e-9), 0.0, 1.0)
    return jnp.sqrt(sum((o - r * x) ** 2 for o, x in zip(off, axis, strict=True)))


def _quadratic(directions: Points, centre: jax.Array, radius: jax.Array) -> jax.Array:
    """Least depth at which depth * directions is `radius` from `centre` [3]; -1 where it never is."""
    a = sum(c * c for c in directions) + 1e-12
    b = sum(c * o for c, o in zip(directions, centre, strict=True))
    # Shortest squared distance first: b*b - a*c loses all digits far from the rod.
    nearest = tuple(b / a * d - o for d, o in zip(directions, centre, strict=True))
    under = radius * radius - sum(c * c for c in nearest)
    return jnp.where(under > 0, b / a - jnp.sqrt(jnp.maximum(under, 0.0) / a), -1.0)
