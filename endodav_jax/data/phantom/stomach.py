"""A stomach: a large bent bag whose walls form long winding folds, as a signed field."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.paths import SWAYS, RoomPath, draw_look, sway_of
from endodav_jax.data.phantom.shapes import Points, Shape, ellipsoid, smooth_max, smooth_min, sphere, undulation, wave
from endodav_jax.data.phantom.texture import Mucosa

POLYPS = 3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StomachShape(Shape):
    """The body lies along z about the origin, the outlet bends away at +z.

    Attributes:
      body_mm: [3] semi-axes.
      outlet_centre_mm: [3], outlet_axes [3,3], outlet_mm [3] semi-axes.
      angle_mm: rounding of the edge between body and outlet.
      fold_mm: (height, spacing) of the long folds.
      fold_wander: (amplitude in spacings, wavelength in mm) of their winding.
      fold_patch: (how much they fade, wavelength in mm) from place to place.
      phase: [4,3] of all undulations.
      bump_mm: height of the wall's undulation, of wavelength `bump_wavelength_mm` [3].
      polyp_centre_mm: [POLYPS,3], polyp_radius_mm [POLYPS]; one that is not there has radius -20.
    """

    body_mm: jax.Array
    outlet_centre_mm: jax.Array
    outlet_axes: jax.Array
    outlet_mm: jax.Array
    angle_mm: jax.Array
    fold_mm: jax.Array
    fold_wander: jax.Array
    fold_patch: jax.Array
    phase: jax.Array
    bump_mm: jax.Array
    bump_wavelength_mm: jax.Array
    polyp_centre_mm: jax.Array
    polyp_radius_mm: jax.Array

    @classmethod
    def draw(cls, key: jax.Array) -> "StomachShape":
        """Draws a stomach, more or less blown up."""
        d = Draws(key)
        body = jnp.stack([d.uniform(26.0, 42.0), d.uniform(24.0, 36.0), d.uniform(48.0, 70.0)])
        bend = d.uniform(0.5, 1.1) * jnp.where(d.chance(0.5) > 0, 1.0, -1.0)
        c, s = jnp.cos(bend), jnp.sin(bend)
        axes = jnp.stack([jnp.stack([c, 0 * c, -s]), jnp.array([0.0, 1.0, 0.0], jnp.float32), jnp.stack([s, 0 * c, c])])
        outlet = body * jnp.stack([d.uniform(0.5, 0.7), d.uniform(0.55, 0.8), d.uniform(0.7, 0.9)])
        spacing = d.uniform(8.0, 15.0)
        angle, z = d.uniform(0.0, 2 * jnp.pi, (POLYPS,)), d.uniform(-0.2, 0.75, (POLYPS,))
        on_wall = jnp.sqrt(1.0 - z * z)
        polyp = jnp.stack([on_wall * jnp.cos(angle), on_wall * jnp.sin(angle), z], -1) * body
        size = d.uniform(2.0, 6.0, (POLYPS,))
        return cls(
            body_mm=body,
            outlet_centre_mm=jnp.array([0.0, 0.0, 0.62], jnp.float32) * body + 0.75 * outlet[2] * axes[2],
            outlet_axes=axes,
            outlet_mm=outlet,
            angle_mm=d.uniform(2.0, 7.0),
            fold_mm=jnp.stack([spacing * d.uniform(0.2, 0.5), spacing]),
            fold_wander=jnp.stack([d.uniform(0.15, 0.6), d.uniform(30.0, 60.0)]),
            fold_patch=jnp.stack([d.uniform(0.2, 1.0), d.uniform(40.0, 80.0)]),
            phase=d.uniform(0.0, 1.0, (4, 3)),
            bump_mm=d.uniform(0.3, 1.6),
            bump_wavelength_mm=d.uniform(22.0, 44.0, (3,)),
            polyp_centre_mm=polyp * 0.97,
            polyp_radius_mm=jnp.where(d.chance(0.4, (POLYPS,)) > 0, size, -20.0),
        )

    def _wall(self, points: Points) -> tuple[jax.Array, jax.Array]:
        """The field without polyps, and how much a point belongs to a fold, 0 to 1."""
        x, y, z = points
        bump = undulation(points, self.bump_wavelength_mm, self.phase[0])
        long = jnp.array([1.0, 1.0, 2.0], jnp.float32)
        winding = self.fold_wander[0] * undulation(points, self.fold_wander[1] * long, self.phase[1])
        patch = undulation(points, self.fold_patch[1] * long, self.phase[2])
        # Folds run along z: counted in x on the walls that face y, and in y on those that face x.
        across_x = wave(x / self.fold_mm[1] + winding + self.phase[3, 0])
        across_y = wave(y / self.fold_mm[1] + winding + self.phase[3, 1])
        facing_x, facing_y = (x / self.body_mm[0]) ** 2, (y / self.body_mm[1]) ** 2
        share = jnp.clip(0.5 + 1.5 * (facing_x - facing_y) / (facing_x + facing_y + 0.05), 0.0, 1.0)
        share = share * share * (3.0 - 2.0 * share)
        crest = 0.5 + 0.5 * (across_x + share * (across_y - across_x))
        crest = crest * crest * jnp.clip(1.0 - self.fold_patch[0] * (0.5 + patch), 0.0, 1.0)
        # The outlet is smooth.
        crest = crest * jnp.clip(1.6 - 1.4 * z / self.body_mm[2], 0.0, 1.0)
        body = -ellipsoid(points, jnp.zeros(3, jnp.float32), jnp.eye(3, dtype=jnp.float32), self.body_mm)
        outlet = -ellipsoid(points, self.outlet_centre_mm, self.outlet_axes, self.outlet_mm)
        wall = smooth_max(body, outlet, self.angle_mm)
        return wall - self.fold_mm[0] * crest - self.bump_mm * bump, crest

    def parts(self, points: Points) -> tuple[jax.Array, ...]:
        """The fields of (wall, folds, polyps), for their colours."""
        wall, crest = self._wall(points)
        return wall, wall + 0.8 * (1.0 - 2.0 * crest), self._polyps(points)

    def _polyps(self, points: Points) -> jax.Array:
        polyps = (
            sphere(points, self.polyp_centre_mm[i], self.polyp_radius_mm[i], jnp.float32(1.2)) for i in range(POLYPS)
        )
        return functools.reduce(lambda a, b: smooth_min(a, b, 2.0), polyps)

    def field(self, points: Points) -> jax.Array:
        """Positive in the stomach, negative in tissue, mm."""
        return smooth_min(self._wall(points)[0], self._polyps(points), 2.0)

    def sample(self, key: jax.Array, count: int) -> Points:
        """Random points of the body, to measure the field's curvature at."""
        unit = jax.random.uniform(key, (3, count), jnp.float32, -1.0, 1.0)
        return tuple(half * u for half, u in zip(self.body_mm, unit, strict=True))


def stomach_path(key: jax.Array, shape: StomachShape, speed: jax.Array) -> RoomPath:
    """A flexible endoscope that looks down the body, at a wall of it, or back."""
    d = Draws(key)
    pace = d.uniform(speed[0], speed[1])
    home = shape.body_mm * jnp.concatenate([d.uniform(-0.18, 0.18, (2,)), d.uniform(-0.5, 0.2, (1,))])
    angle = d.uniform(0.0, 2 * jnp.pi)
    # Along the body for the most part: walls seen head on have no relief.
    height = d.uniform(0.45, 1.0) * jnp.where(d.chance(0.25) > 0, -1.0, 1.0)
    flat = jnp.sqrt(1.0 - 0.96 * height**2)
    target = shape.body_mm * jnp.stack([flat * jnp.cos(angle), flat * jnp.sin(angle), height])
    sway = jnp.array([[5.5], [2.0], [0.05]], jnp.float32) * d.uniform(0.4, 1.0, (SWAYS, 3))
    return RoomPath(
        gaze_rad=d.uniform(-1.0, 1.0, (3,)) * jnp.array([0.15, 0.15, 3.14159], jnp.float32),
        sway_mm=sway_of(d, sway, jnp.array([[0.7], [0.4], [0.06]], jnp.float32), pace),
        look_rad=draw_look(d),
        margin_mm=jnp.float32(3.5),
        home_mm=home,
        target_mm=target,
        follow=d.uniform(0.0, 1.0),
    )


def stomach_mucosa(key: jax.Array, specular: jax.Array) -> Mucosa:
    """Orange to pink, mottled, with redder folds; few vessels show."""
    d = Draws(key)
    red = d.uniform(0.6, 0.9)
    green = red * d.uniform(0.3, 0.6)
    wall = jnp.stack([red, green, green * d.uniform(0.5, 0.95)])
    fold = wall * jnp.stack([d.uniform(0.95, 1.1), d.uniform(0.75, 1.1), d.uniform(0.75, 1.1)])
    polyp = wall * jnp.stack([d.uniform(0.9, 1.1), d.uniform(0.6, 1.2), d.uniform(0.6, 1.2)])
    blush = wall * jnp.stack([d.uniform(0.9, 1.1), d.uniform(0.55, 1.25), d.uniform(0.55, 1.25)])
    return Mucosa(
        seed=jax.random.bits(d.key(), (5,), jnp.uint32),
        base=jnp.stack([wall, fold, polyp]),
        blush=jnp.stack([blush, blush, polyp]),
        blood=jnp.stack([d.uniform(0.6, 0.9), d.uniform(0.2, 0.6), d.uniform(0.25, 0.65)]),
        patch_mm=d.log_uniform(8.0, 40.0),
        patch_edge=jnp.stack([d.uniform(0.4, 0.7), d.log_uniform(3.0, 14.0)]),
        mottle_mm=d.log_uniform(2.0, 7.0),
        mottle=d.uniform(0.15, 0.45),
        vessel_mm=jnp.stack([d.uniform(10.0, 20.0), d.uniform(4.0, 8.0)]),
        vessel_width=jnp.stack([d.uniform(0.03, 0.08), d.uniform(0.05, 0.12)]),
        vessels=jnp.stack([d.uniform(0.0, 0.8, (3,)), d.uniform(0.0, 0.8, (3,))], -1),
        grain_mm=d.log_uniform(0.8, 2.2),
        grain=d.uniform(0.05, 0.22),
        ripple=d.uniform(0.03, 0.22),
        gloss=d.log_uniform(60.0, 400.0) * jnp.ones(3, jnp.float32),
        shine=d.uniform(0.02, 0.09) * specular * jnp.ones(3, jnp.float32),
    )
