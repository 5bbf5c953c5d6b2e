"""Things: a room of any size with rounded lumps in it and solids of every kind standing, lying and floating about.

Lengths are in mm as everywhere; a picture does not know that its room is as small as an abdomen.
"""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.paths import SWAYS, RoomPath, draw_look, sway_of
from endodav_jax.data.phantom.shapes import Points, Shape, ellipsoid, smooth_min, undulation
from endodav_jax.data.phantom.solids import Kind, Solids

LUMPS = 4
BOXES, BALLS, RODS = 7, 4, 5
PARTS = 5  # floor, side walls and ceiling, end walls, lumps of two kinds
AWAY_MM = 1e5  # where absent solids are put


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ThingsShape(Shape):
    """The room's middle is the origin, y points down.

    Attributes:
      room_mm: [3] half extents.
      corner_mm: rounding of the room's edges.
      bump_mm: height of the walls' undulation, of wavelength `bump_wavelength_mm` [3] and `bump_phase` [3].
      lump_centre_mm: [LUMPS,3], lump_axes [LUMPS,3,3], lump_radii_mm [LUMPS,3].
      seam_mm: rounding where lumps meet each other and the walls.
      bodies: solids with sharp edges.
      home_mm: [3] where the camera stays.
      target_mm: [3] what it looks at.
      clear_mm: radius around the camera in which nothing stands.
    """

    room_mm: jax.Array
    corner_mm: jax.Array
    bump_mm: jax.Array
    bump_wavelength_mm: jax.Array
    bump_phase: jax.Array
    lump_centre_mm: jax.Array
    lump_axes: jax.Array
    lump_radii_mm: jax.Array
    seam_mm: jax.Array
    bodies: Solids
    home_mm: jax.Array
    target_mm: jax.Array
    clear_mm: jax.Array

    @classmethod
    def draw(cls, key: jax.Array) -> "ThingsShape":
        """Draws a room, a viewpoint in it, and things around the target."""
        d = Draws(key)
        room = jnp.stack([d.log_uniform(28.0, 130.0), d.log_uniform(24.0, 70.0), d.log_uniform(28.0, 130.0)])
        home = room * d.uniform(-0.5, 0.5, (3,))
        angle, drop = d.uniform(0.0, 2 * jnp.pi), d.uniform(-0.25, 0.7)
        ahead = jnp.stack([jnp.cos(angle), drop, jnp.sin(angle)])
        # As far as the room goes that way, or closer up.
        to_wall = jnp.min((room - jnp.sign(ahead) * home) / jnp.maximum(jnp.abs(ahead), 1e-3))
        distance = to_wall * d.uniform(0.35, 0.8)
        clear = jnp.clip(distance * d.uniform(0.3, 0.7), 4.0, 0.7 * jnp.min(room - jnp.abs(home)))
        target = home + distance * ahead
        count = BOXES + BALLS + RODS
        # Things are large and small about the target, some on the floor and some in the air.
        spread = jax.random.normal(d.key(), (count + LUMPS, 3), jnp.float32)
        centre = target + 0.5 * distance * spread * jnp.array([1.0, 0.7, 1.0], jnp.float32)
        on_floor = jax.random.uniform(d.key(), (count + LUMPS,)) < 0.45
        size = distance * jnp.exp(jax.random.uniform(d.key(), (count + LUMPS, 3), minval=-3.4, maxval=-1.0))
        size = jnp.maximum(size, 0.5)
        centre = centre.at[:, 1].set(jnp.where(on_floor, room[1] - 0.8 * size[:, 1], centre[:, 1]))
        centre = jnp.clip(centre, -0.98 * room, 0.98 * room)
        axes = jax.random.orthogonal(d.key(), 3, (count + LUMPS,)).astype(jnp.float32)
        yaw = 2 * jnp.pi * jax.random.uniform(d.key(), (count + LUMPS,))
        upright = jax.random.uniform(d.key(), (count + LUMPS,)) < 0.6
        axes = jnp.where(upright[:, None, None], _upright(yaw), axes)
        there = jax.random.uniform(d.key(), (count,)) < d.uniform(0.35, 1.0)

        def kind(first, number, shapes=None):
            rows = slice(first, first + number)
            solid = Kind(centre[rows], axes[rows], size[rows] if shapes is None else shapes(size[rows]))
            solid = jax.vmap(lambda one: _make_room(one, home, clear))(solid)
            return dataclasses.replace(solid, centre_mm=jnp.where(there[rows, None], solid.centre_mm, AWAY_MM))

        # Rods are round and mostly long; their own axis is upright where they stand.
        def rods(size):
            thin = size[:, :1] * jnp.array([1.0, 1.0, 0.0], jnp.float32)
            return thin * 0.6 + size.max(1, keepdims=True) * jnp.array([0.0, 0.0, 1.5], jnp.float32)

        solids = Solids(kind(0, BOXES), kind(BOXES, BALLS), kind(BOXES + BALLS, RODS, rods))
        lumps = _make_room_for_lumps(centre[count:], 1.6 * size[count:], home, clear)
        return cls(
            room_mm=room,
            corner_mm=d.log_uniform(0.5, 12.0),
            bump_mm=d.uniform(0.0, 2.5) * d.chance(0.5),
            bump_wavelength_mm=d.uniform(14.0, 50.0, (3,)),
            bump_phase=d.uniform(0.0, 1.0, (3,)),
            lump_centre_mm=lumps,
            lump_axes=axes[count:],
            lump_radii_mm=1.6 * size[count:] + 1.5,
            seam_mm=d.uniform(2.0, 10.0),
            bodies=solids,
            home_mm=home,
            target_mm=target,
            clear_mm=clear,
        )

    @property
    def solids(self) -> Solids:
        """Intersected in closed form, in addition to the field."""
        return self.bodies

    def parts(self, points: Points) -> tuple[jax.Array, ...]:
        """The fields of (floor, side walls and ceiling, end walls, lumps, lumps)."""
        bump = self.bump_mm * undulation(points, self.bump_wavelength_mm, self.bump_phase)

        def inside(x, half):
            # Rounded in the middle, where the nearer of two walls changes.
            return half - jnp.sqrt(x * x + (0.1 * half) ** 2)

        x, y, z = (inside(p, half) + bump for p, half in zip(points, self.room_mm, strict=True))
        far = jnp.where(points[1] > 0, 0.0, 1e3)
        lumps = [
            ellipsoid(points, self.lump_centre_mm[i], self.lump_axes[i], self.lump_radii_mm[i]) for i in range(LUMPS)
        ]
        first, second = smooth_min(lumps[0], lumps[1], self.seam_mm), smooth_min(lumps[2], lumps[3], self.seam_mm)
        return y + far, smooth_min(x, y + 1e3 - far, self.corner_mm), z, first, second

    def field(self, points: Points) -> jax.Array:
        """Positive in the room, negative in lumps and behind walls, mm; solids are not in it."""
        floor, sides, ends, first, second = self.parts(points)
        room = smooth_min(jnp.minimum(floor, sides), ends, self.corner_mm)
        return smooth_min(room, smooth_min(first, second, self.seam_mm), self.seam_mm)

    def clearance(self, points: Points) -> jax.Array:
        """Distance to walls, lumps and solids."""
        return smooth_min(self.field(points), self.solids.distance(points), 2.0)

    def sample(self, key: jax.Array, count: int) -> Points:
        """Random points of the room, to measure the field's curvature at."""
        unit = jax.random.uniform(key, (3, count), jnp.float32, -1.0, 1.0)
        return tuple(half * u for half, u in zip(self.room_mm, unit, strict=True))


def things_path(key: jax.Array, shape: ThingsShape, speed: jax.Array) -> RoomPath:
    """A hand that circles what it looks at, slides past it, or does something between."""
    d = Draws(key)
    pace = d.uniform(speed[0], speed[1])
    # Far ahead a camera must move more to see as much change.
    distance = jnp.linalg.norm(shape.target_mm - shape.home_mm)
    pace = jnp.minimum(pace * jnp.clip(distance / 30.0, 0.3, 2.0), 0.12 * shape.clear_mm)
    sway = shape.clear_mm * jnp.array([[0.5], [0.15], [0.01]], jnp.float32) * d.uniform(0.3, 1.0, (SWAYS, 3))
    return RoomPath(
        gaze_rad=d.uniform(-1.0, 1.0, (3,)) * jnp.array([0.25, 0.25, 0.35], jnp.float32),
        sway_mm=sway_of(d, sway, jnp.array([[0.75], [0.4], [0.03]], jnp.float32), pace),
        look_rad=draw_look(d),
        margin_mm=0.12 * shape.clear_mm,
        home_mm=shape.home_mm,
        target_mm=shape.target_mm,
        follow=d.uniform(-0.2, 1.0),
    )


def _upright(yaw: jax.Array) -> jax.Array:
    """[N] turns about the vertical as axes [N,3,3] whose last row, a rod's axis, is the vertical."""
    c, s, zero = jnp.cos(yaw), jnp.sin(yaw), jnp.zeros_like(yaw)
    return jnp.stack(
        [jnp.stack([c, zero, s], -1), jnp.stack([-s, zero, c], -1), jnp.stack([zero, zero + 1, zero], -1)], 1
    )


def _make_room(solid: Kind, home: jax.Array, clear: jax.Array) -> Kind:
    """Moves one solid ([3] centre) away from the camera's place until it is clear of it."""

    def push(_, centre):
        off = centre - home
        away = off / jnp.maximum(jnp.linalg.norm(off), 1e-3)
        # Of all kinds, a box reaches farthest.
        local = jnp.abs(solid.axes @ off) - solid.radii_mm
        gap = jnp.linalg.norm(jnp.maximum(local, 0.0)) + jnp.minimum(local.max(), 0.0)
        return centre + away * jnp.maximum(clear - gap, 0.0)

    return dataclasses.replace(solid, centre_mm=jax.lax.fori_loop(0, 12, push, solid.centre_mm))


def _make_room_for_lumps(centre: jax.Array, radii: jax.Array, home: jax.Array, clear: jax.Array) -> jax.Array:
    off = centre - home
    distance = jnp.maximum(jnp.linalg.norm(off, axis=-1, keepdims=True), 1e-3)
    return home + off * jnp.maximum(1.0, (radii.max(-1, keepdims=True) + 1.5 + clear) / distance)
