"""Building blocks of signed distance fields, on separate coordinate arrays so that XLA vectorises them.

Fields are positive in free space and negative in tissue, in mm; they need not be exact distances, only continuous
with a bounded gradient (Hart, "Sphere tracing", 1996: steps are divided by the bound).
"""

from typing import TYPE_CHECKING, Self

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from endodav_jax.data.phantom.solids import Solids

Points = tuple[jax.Array, ...]  # the three x, y, z in mm, of one shape


class Shape:
    """The interface of every shape.

    Attributes:
      room_mm: [3] half extents, for shapes that contain standing lamps.
    """

    room_mm: jax.Array

    @classmethod
    def draw(cls, key: jax.Array) -> Self:
        """Draws one."""
        raise NotImplementedError

    @property
    def solids(self) -> "Solids | None":
        """Bodies that rays are intersected with in closed form, or None."""
        return None

    def parts(self, points: Points) -> tuple[jax.Array, ...]:
        """Fields of the parts with different materials, mm."""
        raise NotImplementedError

    def sample(self, key: jax.Array, count: int) -> Points:
        """Points in free space, each coordinate [count]."""
        raise NotImplementedError

    def field(self, points: Points) -> jax.Array:
        """Positive in free space and negative behind surfaces that rays are traced to, mm."""
        raise NotImplementedError

    def clearance(self, points: Points) -> jax.Array:
        """The same, including everything else that the camera must not run into."""
        return self.field(points)


def wave(turns: jax.Array) -> jax.Array:
    """A sine of period 1 from two parabolas: within 0.1% of sin(2 pi turns), once continuously differentiable."""
    u = turns - jnp.round(turns)
    y = u * (8.0 - 16.0 * jnp.abs(u))
    return y * (0.775 + 0.225 * jnp.abs(y))


def smooth_min(a: jax.Array, b: jax.Array, radius: jax.Array | float) -> jax.Array:
    """Lesser of two fields with a rounded seam of about `radius` mm (quadratic polynomial; never above the lesser)."""
    h = jnp.maximum(radius - jnp.abs(a - b), 0.0) / radius
    return jnp.minimum(a, b) - 0.25 * radius * h * h


def smooth_max(a: jax.Array, b: jax.Array, radius: jax.Array | float) -> jax.Array:
    """Greater of two fields with a rounded seam of about `radius` mm."""
    return -smooth_min(-a, -b, radius)


def sphere(points: Points, centre: jax.Array, radius: jax.Array, stretch: jax.Array) -> jax.Array:
    """Distance (a lower bound of it) outside a ball whose z axis is stretched by `stretch` >= 1."""
    x, y, z = points
    dx, dy, dz = x - centre[0], y - centre[1], (z - centre[2]) / stretch
    return jnp.sqrt(dx * dx + dy * dy + dz * dz + 1e-6) - radius


def ellipsoid(points: Points, centre: jax.Array, axes: jax.Array, radii: jax.Array) -> jax.Array:
    """A lower bound of the distance outside an ellipsoid; `axes` [3,3] has its unit axes as rows."""
    x, y, z = points[0] - centre[0], points[1] - centre[1], points[2] - centre[2]
    scaled = axes / radii[:, None]
    u = scaled[0, 0] * x + scaled[0, 1] * y + scaled[0, 2] * z
    v = scaled[1, 0] * x + scaled[1, 1] * y + scaled[1, 2] * z
    w = scaled[2, 0] * x + scaled[2, 1] * y + scaled[2, 2] * z
    return (jnp.sqrt(u * u + v * v + w * w + 1e-6) - 1.0) * jnp.min(radii)


def torus(points: Points, centre: jax.Array, axes: jax.Array, ring: jax.Array, tube: jax.Array) -> jax.Array:
    """Distance to a torus about `axes[2]`."""
    x, y, z = points[0] - centre[0], points[1] - centre[1], points[2] - centre[2]
    u = axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z
    v = axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z
    w = axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z
    q = jnp.sqrt(u * u + v * v + 1e-6) - ring
    return jnp.sqrt(q * q + w * w + 1e-6) - tube


def tapered_segment(points: Points, start: jax.Array, end: jax.Array, radii: jax.Array) -> jax.Array:
    """Distance outside a rod from `start` to `end` whose radius goes from `radii[0]` to `radii[1]`."""
    x, y, z = points[0] - start[0], points[1] - start[1], points[2] - start[2]
    ax, ay, az = end[0] - start[0], end[1] - start[1], end[2] - start[2]
    h = jnp.clip((x * ax + y * ay + z * az) / (ax * ax + ay * ay + az * az), 0.0, 1.0)
    dx, dy, dz = x - h * ax, y - h * ay, z - h * az
    return jnp.sqrt(dx * dx + dy * dy + dz * dz + 1e-6) - (radii[0] + (radii[1] - radii[0]) * h)


def undulation(points: Points, wavelength: jax.Array, phases: jax.Array) -> jax.Array:
    """A smooth bumpy field in about [-1, 1]: a gyroid, aperiodic enough with uneven `wavelength` [3] (mm)."""
    x, y, z = points
    a, b, c = x / wavelength[0] + phases[0], y / wavelength[1] + phases[1], z / wavelength[2] + phases[2]
    return 0.6 * (wave(a) * wave(b + 0.25) + wave(b) * wave(c + 0.25) + wave(c) * wave(a + 0.25))


def points_between(start: jax.Array, ends: Points, share: jax.Array) -> Points:
    """Points at `share` [S,1] of the way from `start` [3] to `ends` [N], each coordinate [S,N]."""
    return tuple(s + share * (e - s) for s, e in zip(start, ends, strict=True))
