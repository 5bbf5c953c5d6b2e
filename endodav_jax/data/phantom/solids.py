"""Boxes, ellipsoids and rods with sharp edges, intersected with rays in closed form."""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.shapes import Points

FAR_MM = 1e9
NEAR_MM = 0.2  # a ray starts this far from the eye, or from the surface whose shadow is asked for
_TINY = 1e-9


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Kind:
    """N solids of one kind, each the image of the unit cube, ball or cylinder (about z).

    Attributes:
      centre_mm: [N,3]; an absent solid is far away.
      axes: [N,3,3] unit axes as rows.
      radii_mm: [N,3] half extents along them.
    """

    centre_mm: jax.Array
    axes: jax.Array
    radii_mm: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Solids:
    """Numbered boxes first, then balls, then rods."""

    boxes: Kind
    balls: Kind
    rods: Kind

    def meet(self, origin: jax.Array, directions: Points) -> tuple[jax.Array, jax.Array, Points]:
        """Nearest solid along rays.

        Args:
          origin: [3] mm.
          directions: each [M]; depths are in their lengths.

        Returns:
          depth [M] (`FAR_MM` where none is met), number int32 [M] and unit normal of the solid met.
        """
        nothing = jnp.full_like(directions[0], FAR_MM)
        state = (nothing, jnp.zeros_like(nothing, jnp.int32), (nothing, nothing, nothing))
        first = 0
        for span, kind in _kinds(self):
            count = kind.centre_mm.shape[0]

            def nearer(state, item, span=span):
                number, solid = item
                depth, which, normal = state
                start = tuple(solid.axes @ (origin - solid.centre_mm) / solid.radii_mm)
                near, _, facing = span(start, _into(solid, directions))
                inverse = 1.0 / solid.radii_mm
                facing = tuple(f * i for f, i in zip(facing, inverse, strict=True))
                met = (near > NEAR_MM) & (near < depth)
                # Rows are axes: back from the solid's coordinates by the transpose.
                world = tuple(sum(solid.axes[j, i] * facing[j] for j in range(3)) for i in range(3))
                normal = tuple(jnp.where(met, new, old) for new, old in zip(world, normal, strict=True))
                return (jnp.where(met, near, depth), jnp.where(met, number, which), normal), None

            state, _ = jax.lax.scan(nearer, state, (first + jnp.arange(count), kind))
            first += count
        depth, which, normal = state
        inverse = jax.lax.rsqrt(sum(n * n for n in normal) + 1e-12)
        return depth, which, tuple(n * inverse for n in normal)

    def reached(self, points: Points, lamp_mm: jax.Array) -> jax.Array:
        """Whether the way from points, each [M], to a lamp [3] is free of solids: bool [M]."""
        directions = tuple(to - p for to, p in zip(lamp_mm, points, strict=True))
        free = jnp.ones_like(points[0], bool)
        for span, kind in _kinds(self):

            def still_free(free, solid, span=span):
                off = tuple(p - c for p, c in zip(points, solid.centre_mm, strict=True))
                near, far, _ = span(_into(solid, off), _into(solid, directions))
                return free & ((near > 1.0) | (far < 0.0) | (near > far)), None

            free, _ = jax.lax.scan(still_free, free, kind)
        return free

    def distance(self, points: Points) -> jax.Array:
        """A smooth enough bound of the distance to the nearest solid, mm; negative inside."""
        nearest = jnp.full_like(points[0], FAR_MM)
        for span, kind in _kinds(self):

            def nearer(nearest, solid, span=span):
                off = tuple(p - c for p, c in zip(points, solid.centre_mm, strict=True))
                x, y, z = (jnp.abs(c) for c in _into(solid, off))
                if span is _box:
                    over = tuple(c * r - r for c, r in zip((x, y, z), solid.radii_mm, strict=True))
                    outside = jnp.sqrt(sum(jnp.maximum(o, 0.0) ** 2 for o in over) + 1e-9)
                    gap = outside + jnp.minimum(jnp.maximum(jnp.maximum(over[0], over[1]), over[2]), 0.0)
                elif span is _ball:
                    gap = (jnp.sqrt(x * x + y * y + z * z + 1e-9) - 1.0) * solid.radii_mm.min()
                else:
                    side = (jnp.sqrt(x * x + y * y + 1e-9) - 1.0) * solid.radii_mm[:2].min()
                    end = (z - 1.0) * solid.radii_mm[2]
                    outside = jnp.sqrt(jnp.maximum(side, 0.0) ** 2 + jnp.maximum(end, 0.0) ** 2 + 1e-9)
                    gap = outside + jnp.minimum(jnp.maximum(side, end), 0.0)
                return jnp.minimum(nearest, gap), None

            nearest, _ = jax.lax.scan(nearer, nearest, kind)
        return nearest


def _kinds(solids: Solids):
    return (_box, solids.boxes), (_ball, solids.balls), (_rod, solids.rods)


def _into(solid: Kind, vectors: Points) -> Points:
    """Vectors in the coordinates in which the solid is a unit one."""
    scaled = solid.axes / solid.radii_mm[:, None]
    return tuple(row[0] * vectors[0] + row[1] * vectors[1] + row[2] * vectors[2] for row in scaled)


def _slab(start: jax.Array, direction: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Where a ray is between -1 and 1, and the sign of the side it comes in by."""
    direction = jnp.where(jnp.abs(direction) < _TINY, _TINY, direction)
    inverse = 1.0 / direction
    middle, half = -start * inverse, jnp.abs(inverse)
    return middle - half, middle + half, -jnp.sign(direction)


def _disc(start: Points, direction: Points) -> tuple[jax.Array, jax.Array]:
    """Where a ray is within 1 of the origin, in two or three dimensions; never (1 to 0, far off) where it misses."""
    a = sum(d * d for d in direction) + 1e-20
    middle = -sum(s * d for s, d in zip(start, direction, strict=True)) / a
    # Shortest squared distance first: b*b - a*c loses all digits far from the solid.
    under = 1.0 - sum((s + middle * d) ** 2 for s, d in zip(start, direction, strict=True))
    half = jnp.sqrt(jnp.maximum(under, 0.0) / a)
    missed = under <= 0
    return jnp.where(missed, FAR_MM, middle - half), jnp.where(missed, -FAR_MM, middle + half)


def _box(start: Points, direction: Points):
    (x0, x1, sx), (y0, y1, sy), (z0, z1, sz) = (_slab(s, d) for s, d in zip(start, direction, strict=True))
    near, far = jnp.maximum(jnp.maximum(x0, y0), z0), jnp.minimum(jnp.minimum(x1, y1), z1)
    normal = jnp.where(x0 >= near, sx, 0.0), jnp.where(y0 >= near, sy, 0.0), jnp.where(z0 >= near, sz, 0.0)
    return jnp.where(near < far, near, FAR_MM), jnp.where(near < far, far, -FAR_MM), normal


def _ball(start: Points, direction: Points):
    near, far = _disc(start, direction)
    return near, far, tuple(s + jnp.where(near < FAR_MM, near, 0.0) * d for s, d in zip(start, direction, strict=True))


def _rod(start: Points, direction: Points):
    side0, side1 = _disc(start[:2], direction[:2])
    end0, end1, sign = _slab(start[2], direction[2])
    near, far = jnp.maximum(side0, end0), jnp.minimum(side1, end1)
    hit = near < far
    at = jnp.where(hit, near, 0.0)
    on_side = side0 >= end0
    normal = (
        jnp.where(on_side, start[0] + at * direction[0], 0.0),
        jnp.where(on_side, start[1] + at * direction[1], 0.0),
        jnp.where(on_side, 0.0, sign),
    )
    return jnp.where(hit, near, FAR_MM), jnp.where(hit, far, -FAR_MM), normal
