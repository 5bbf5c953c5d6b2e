"""A closed, winding tube with haustral folds, side branches and polyps, as a signed field."""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.shapes import (
    Points,
    Shape,
    smooth_max,
    smooth_min,
    sphere,
    tapered_segment,
    undulation,
    wave,
)
from endodav_jax.data.phantom.texture import Mucosa

POLYPS = 4
BRANCHES = 2
REACH_MM = 55.0  # how far along the tube the camera travels


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ColonShape(Shape):
    """The tube runs along +z about a centreline that winds in x and y.  Lengths in mm, phases in turns.

    Attributes:
      bend_mm: [2] amplitudes of the centreline's two waves.
      bend_wavelength_mm: [2].
      bend_phase: [2,2] of each wave in x and in y.
      ends_mm: [2] z of the closed near and far end.
      radius_mm: mean radius.
      radius_wave: (relative amplitude, wavelength in mm, phase).
      lobes: [4] relative amplitudes of cos 2a, sin 2a, cos 3a, sin 3a of the cross-section.
      fold_spacing_mm: from crest to crest.
      fold_height_mm: of the crests over the wall.
      fold_width: half width of a fold's foot as a fraction of the spacing, under 0.5.
      fold_ring: 1 makes complete rings, lower values crescents.
      fold_tilt: [2] how the crests lean over the cross-section, as a fraction of the spacing.
      fold_wander: (amplitude as a fraction of the spacing, wavelength in mm, phase).
      bump_mm: height of the wall's undulation.
      bump_wavelength_mm: [3].
      bump_phase: [3].
      branch_start_mm: [BRANCHES,3].
      branch_end_mm: [BRANCHES,3].
      branch_radii_mm: [BRANCHES,2]; a branch that is not there has radius -20.
      polyp_centre_mm: [POLYPS,3].
      polyp_radius_mm: [POLYPS]; a polyp that is not there has radius -20.
      polyp_stretch: [POLYPS] along the tube.
    """

    bend_mm: jax.Array
    bend_wavelength_mm: jax.Array
    bend_phase: jax.Array
    ends_mm: jax.Array
    radius_mm: jax.Array
    radius_wave: jax.Array
    lobes: jax.Array
    fold_spacing_mm: jax.Array
    fold_height_mm: jax.Array
    fold_width: jax.Array
    fold_ring: jax.Array
    fold_tilt: jax.Array
    fold_wander: jax.Array
    bump_mm: jax.Array
    bump_wavelength_mm: jax.Array
    bump_phase: jax.Array
    branch_start_mm: jax.Array
    branch_end_mm: jax.Array
    branch_radii_mm: jax.Array
    polyp_centre_mm: jax.Array
    polyp_radius_mm: jax.Array
    polyp_stretch: jax.Array

    @classmethod
    def draw(cls, key: jax.Array) -> "ColonShape":
        """Draws a tube; the first `REACH_MM` of its centreline are clear of branches' and polyps' bodies."""
        d = Draws(key)
        radius = d.log_uniform(9.0, 22.0)
        wavelength = jnp.stack([d.uniform(110.0, 240.0), d.uniform(50.0, 90.0)])
        slope = jnp.stack([d.uniform(0.1, 0.6), d.uniform(0.0, 0.25)])
        spacing = radius * d.uniform(0.75, 1.7)
        height = radius * d.uniform(0.1, 0.42)
        far = REACH_MM + d.uniform(30.0, 80.0)
        bare = cls(
            bend_mm=slope * wavelength / (2 * jnp.pi),
            bend_wavelength_mm=wavelength,
            bend_phase=d.uniform(0.0, 1.0, (2, 2)),
            ends_mm=jnp.stack([-25.0 - radius, far]),
            radius_mm=radius,
            radius_wave=jnp.stack([d.uniform(0.0, 0.18), d.uniform(45.0, 110.0), d.uniform(0.0, 1.0)]),
            lobes=d.uniform(-1.0, 1.0, (4,)) * jnp.array([0.1, 0.1, 0.09, 0.09], jnp.float32),
            fold_spacing_mm=spacing,
            # One tube in six is smooth, like an oesophagus or an airway.
            fold_height_mm=height * d.chance(5 / 6),
            fold_width=jnp.clip(d.uniform(0.2, 0.42), 0.55 * height / spacing, 0.48),
            fold_ring=d.uniform(-0.1, 1.0),
            fold_tilt=d.uniform(-0.22, 0.22, (2,)),
            fold_wander=jnp.stack([d.uniform(0.0, 0.25), d.uniform(1.7, 3.3) * spacing, d.uniform(0.0, 1.0)]),
            bump_mm=d.uniform(0.1, 0.8),
            bump_wavelength_mm=d.uniform(11.0, 26.0, (3,)),
            bump_phase=d.uniform(0.0, 1.0, (3,)),
            branch_start_mm=jnp.zeros((BRANCHES, 3), jnp.float32),
            branch_end_mm=jnp.ones((BRANCHES, 3), jnp.float32),
            branch_radii_mm=jnp.full((BRANCHES, 2), -20.0, jnp.float32),
            polyp_centre_mm=jnp.zeros((POLYPS, 3), jnp.float32),
            polyp_radius_mm=jnp.full((POLYPS,), -20.0, jnp.float32),
            polyp_stretch=jnp.ones((POLYPS,), jnp.float32),
        )
        return bare._with_branches(d)._with_polyps(d)

    def _with_branches(self, d: Draws) -> "ColonShape":
        z = d.uniform(15.0, 85.0, (BRANCHES,))
        angle = d.uniform(0.0, 2 * jnp.pi, (BRANCHES,))
        out = jnp.stack([jnp.cos(angle), jnp.sin(angle), d.uniform(-0.1, 0.9, (BRANCHES,))], -1)
        start = self.centre(z) + out * jnp.array([0.4, 0.4, 0.0], jnp.float32) * self.radius_mm
        wide = d.uniform(0.2, 0.62, (BRANCHES,)) * self.radius_mm
        radii = jnp.stack([wide, wide * d.uniform(0.5, 0.95, (BRANCHES,))], -1)
        there = d.chance(0.45, (BRANCHES,))[:, None]
        return dataclasses.replace(
            self,
            branch_start_mm=start,
            branch_end_mm=start + out * d.uniform(1.2, 3.0, (BRANCHES, 1)) * self.radius_mm,
            branch_radii_mm=jnp.where(there > 0, radii, -20.0),
        )

    def _with_polyps(self, d: Draws) -> "ColonShape":
        z = d.uniform(8.0, 95.0, (POLYPS,))
        angle = d.uniform(0.0, 2 * jnp.pi, (POLYPS,))
        out = jnp.stack([jnp.cos(angle), jnp.sin(angle), jnp.zeros(POLYPS, jnp.float32)], -1)
        # Two in three are polyps, which stand out by about their size; the others long, broad bulges.
        bulge = d.chance(1 / 3, (POLYPS,)) > 0
        size = jnp.where(bulge, d.uniform(0.4, 0.9, (POLYPS,)), d.uniform(0.08, 0.28, (POLYPS,)))
        proud = jnp.where(bulge, d.uniform(0.12, 0.38, (POLYPS,)), size * d.uniform(0.5, 1.4, (POLYPS,)))
        stretch = jnp.where(bulge, d.uniform(1.0, 3.5, (POLYPS,)), d.uniform(1.0, 1.6, (POLYPS,)))

        # Walk from the centreline outwards to the wall, then sit on it.
        def outwards(_, at):
            return at + out * 0.5 * jnp.maximum(self.wall((at[:, 0], at[:, 1], at[:, 2])), 0.0)[:, None]

        at = jax.lax.fori_loop(0, 24, outwards, self.centre(z))
        return dataclasses.replace(
            self,
            polyp_centre_mm=at + out * ((size - proud) * self.radius_mm)[:, None],
            polyp_radius_mm=jnp.where(d.chance(0.5, (POLYPS,)) > 0, size * self.radius_mm, -20.0),
            polyp_stretch=stretch,
        )

    @property
    def clear_mm(self) -> jax.Array:
        """Radius that folds leave free."""
        return self.radius_mm - 1.3 * self.fold_height_mm

    @property
    def margin_mm(self) -> jax.Array:
        """The camera's smallest distance from the wall."""
        return jnp.maximum(1.8, 0.13 * self.radius_mm)

    @property
    def reach_mm(self) -> jax.Array | float:
        """How far along the tube the camera travels."""
        return REACH_MM

    def centre(self, z: jax.Array) -> jax.Array:
        """Centreline at z: [...,] -> [...,3]."""
        turns = z[..., None] / self.bend_wavelength_mm
        x = (self.bend_mm * wave(turns + self.bend_phase[:, 0])).sum(-1)
        y = (self.bend_mm * wave(turns + self.bend_phase[:, 1])).sum(-1)
        return jnp.stack([x, y, z], -1)

    def wall(self, points: Points) -> jax.Array:
        """The tube with its folds, ends and branches, without polyps."""
        x, y, z = points
        qx, qy = x, y
        slope_x: jax.Array | float = 0.0
        slope_y: jax.Array | float = 0.0
        for i in range(2):
            turns = z / self.bend_wavelength_mm[i]
            steep = 2 * jnp.pi * self.bend_mm[i] / self.bend_wavelength_mm[i]
            qx = qx - self.bend_mm[i] * wave(turns + self.bend_phase[i, 0])
            qy = qy - self.bend_mm[i] * wave(turns + self.bend_phase[i, 1])
            slope_x = slope_x + steep * wave(turns + (self.bend_phase[i, 0] + 0.25))
            slope_y = slope_y + steep * wave(turns + (self.bend_phase[i, 1] + 0.25))
        # Distance from the centreline's tangent, not within the slice of constant z.
        q2 = qx * qx + qy * qy
        along = qx * slope_x + qy * slope_y
        axis2 = (0.15 * self.radius_mm) ** 2  # rounds the field's ridge along the axis
        off_axis = jnp.sqrt(jnp.maximum(q2 - along * along / (1.0 + slope_x**2 + slope_y**2), 0.0) + axis2)
        # Cosine and sine of the angle round the axis, fading to 0 at the axis where there is none.
        inverse = jax.lax.rsqrt(q2 + axis2)
        c, s = qx * inverse, qy * inverse
        c2, s2 = c * c - s * s, 2 * c * s
        c3, s3 = c * c2 - s * s2, s * c2 + c * s2
        lobes = self.lobes[0] * c2 + self.lobes[1] * s2 + self.lobes[2] * c3 + self.lobes[3] * s3
        width, wavelength, phase = self.radius_wave[0], self.radius_wave[1], self.radius_wave[2]
        radius = self.radius_mm * (1.0 + lobes + width * wave(z / wavelength + phase))
        bump = self.bump_mm * undulation(points, self.bump_wavelength_mm, self.bump_phase)
        tube = radius - self._fold(z, c, s, c3) - bump - off_axis
        tube = smooth_min(tube, self.ends_mm[1] - z + 2.0 * bump, 0.5 * self.radius_mm)
        tube = smooth_min(tube, z - self.ends_mm[0], 0.5 * self.radius_mm)
        for i in range(BRANCHES):
            branch = (
                -tapered_segment(points, self.branch_start_mm[i], self.branch_end_mm[i], self.branch_radii_mm[i])
                - 0.7 * bump
            )
            tube = smooth_max(tube, branch, 3.0)
        return tube

    def _fold(self, z: jax.Array, c: jax.Array, s: jax.Array, c3: jax.Array) -> jax.Array:
        """Height of the folds over the wall; each fold is a crescent turned by its own angle."""
        amount, wavelength, phase = self.fold_wander[0], self.fold_wander[1], self.fold_wander[2]
        lean = self.fold_tilt[0] * c + self.fold_tilt[1] * s + 0.05 * c3
        place = z / self.fold_spacing_mm + amount * wave(z / wavelength + phase) + lean
        number = jnp.round(place)
        u = (place - number) / self.fold_width
        # One period of a cosine, 0 midway between folds: the change of number leaves no step.
        profile = 0.5 + 0.5 * wave(0.5 * jnp.clip(u, -1.0, 1.0) + 0.25)
        turn = number * 0.381966 + phase  # golden angle: neighbouring folds never line up
        facing = c * wave(turn + 0.25) + s * wave(turn)
        crescent = jnp.clip(0.5 + 0.5 * (facing + self.fold_ring), 0.0, 1.0)
        return self.fold_height_mm * profile * crescent * crescent * (3.0 - 2.0 * crescent)

    def parts(self, points: Points) -> tuple[jax.Array, ...]:
        """The fields of (wall, polyps and bulges)."""
        polyps = sphere(points, self.polyp_centre_mm[0], self.polyp_radius_mm[0], self.polyp_stretch[0])
        for i in range(1, POLYPS):
            other = sphere(points, self.polyp_centre_mm[i], self.polyp_radius_mm[i], self.polyp_stretch[i])
            polyps = smooth_min(polyps, other, 3.0)
        return self.wall(points), polyps

    def field(self, points: Points) -> jax.Array:
        """Positive in the lumen, negative in tissue, mm."""
        wall, polyps = self.parts(points)
        return smooth_min(wall, polyps, 3.0)

    def sample(self, key: jax.Array, count: int) -> Points:
        """Random points in and around the lumen, to measure the field's steepness at."""
        along, around, out = jax.random.uniform(key, (3, count), jnp.float32)
        z = -30.0 + 170.0 * along
        angle = 2 * jnp.pi * around
        off = 1.2 * self.radius_mm * out
        centre = self.centre(z)
        return centre[:, 0] + off * jnp.cos(angle), centre[:, 1] + off * jnp.sin(angle), z


def colon_mucosa(key: jax.Array, specular: jax.Array) -> Mucosa:
    """Salmon to pale pink or deep red mucosa; polyps like it but redder or paler."""
    d = Draws(key)
    red = d.uniform(0.55, 0.9)
    green = red * d.uniform(0.12, 0.5)
    wall = jnp.stack([red, green, green * d.uniform(0.45, 1.05)])
    polyp = wall * jnp.stack([d.uniform(0.9, 1.15), d.uniform(0.6, 1.25), d.uniform(0.6, 1.25)])
    # Patches are redder, paler, or the yellow of a fluid film.
    yellow = jnp.array([0.75, 0.52, 0.12], jnp.float32)
    blush = wall * jnp.stack([d.uniform(0.85, 1.1), d.uniform(0.65, 1.3), d.uniform(0.65, 1.3)])
    blush = jnp.where(d.chance(0.25) > 0, 0.5 * (blush + yellow), blush)
    gloss = d.log_uniform(60.0, 500.0)
    shine = d.uniform(0.02, 0.16) * specular
    return Mucosa(
        seed=jax.random.bits(d.key(), (5,), jnp.uint32),
        base=jnp.stack([wall, polyp]),
        blush=jnp.stack([blush, polyp]),
        blood=jnp.stack([d.uniform(0.55, 0.9), d.uniform(0.15, 0.6), d.uniform(0.2, 0.65)]),
        patch_mm=d.log_uniform(8.0, 40.0),
        patch_edge=jnp.stack([d.uniform(0.4, 0.7), d.log_uniform(3.0, 12.0)]),
        mottle_mm=d.log_uniform(2.0, 8.0),
        mottle=d.uniform(0.05, 0.35),
        vessel_mm=jnp.stack([d.uniform(7.0, 16.0), d.uniform(2.5, 6.0)]),
        vessel_width=jnp.stack([d.uniform(0.03, 0.09), d.uniform(0.05, 0.14)]),
        vessels=jnp.stack([d.uniform(0.1, 1.0, (2,)), d.uniform(0.1, 1.0, (2,))], -1),
        grain_mm=d.log_uniform(0.5, 1.8),
        grain=d.uniform(0.02, 0.15),
        ripple=d.uniform(0.02, 0.2),
        gloss=gloss * jnp.ones(2, jnp.float32),
        shine=shine * jnp.ones(2, jnp.float32),
    )
