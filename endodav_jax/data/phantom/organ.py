"""A wide cavity whose floor carries a large organ, loops of bowel and lobes of fat, as a signed field."""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.paths import SWAYS, TrocarPath, draw_look, sway_of
from endodav_jax.data.phantom.shapes import Points, Shape, ellipsoid, smooth_min, torus, undulation, wave
from endodav_jax.data.phantom.texture import Mucosa

LOBES = 2
LOOPS = 3
FAT = 4
PIVOT_MM = (0.0, -6.0, -34.0)  # the tip of a laparoscope at rest, y points to the floor
VIEWED_MM = (0.0, 28.0, 20.0)  # what it points at
TROCAR_MM = 80.0  # from the hole in the wall to the resting tip
CLEAR_MM = 28.0  # nothing but the wall comes nearer to the pivot than this


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OrganShape(Shape):
    """Semi-axes and centres in mm about the middle of the cavity, y down; rotations have unit axes as rows.

    Attributes:
      cavity_mm: [3] semi-axes of the cavity.
      wall_bump_mm: [2] heights of the wall's coarse and fine undulation.
      wall_wavelength_mm: [2,3].
      phase: [4,3] of all undulations.
      lobe_centre_mm: [LOBES,3], lobe_axes [LOBES,3,3], lobe_radii_mm [LOBES,3]: the large organ.
      lobe_groove: (depth in mm, wavelength in mm) of the grooves across it.
      loop_centre_mm: [LOOPS,3], loop_axes [LOOPS,3,3], loop_radii_mm [LOOPS,2] (ring, tube): bowel.
      loop_fold: (height in mm, wavelength in mm) of its haustra.
      fat_centre_mm: [FAT,3], fat_axes [FAT,3,3], fat_radii_mm [FAT,3].
      fat_lobules: (height in mm, wavelength in mm).
      seam_mm: rounding where parts meet.
    """

    cavity_mm: jax.Array
    wall_bump_mm: jax.Array
    wall_wavelength_mm: jax.Array
    phase: jax.Array
    lobe_centre_mm: jax.Array
    lobe_axes: jax.Array
    lobe_radii_mm: jax.Array
    lobe_groove: jax.Array
    loop_centre_mm: jax.Array
    loop_axes: jax.Array
    loop_radii_mm: jax.Array
    loop_fold: jax.Array
    fat_centre_mm: jax.Array
    fat_axes: jax.Array
    fat_radii_mm: jax.Array
    fat_lobules: jax.Array
    seam_mm: jax.Array

    @classmethod
    def draw(cls, key: jax.Array) -> "OrganShape":
        """Draws a cavity; parts that would come within `CLEAR_MM` of the pivot are moved away from it."""
        d = Draws(key)
        cavity = jnp.stack([d.uniform(62.0, 80.0), d.uniform(50.0, 60.0), d.uniform(62.0, 80.0)])
        lobe_radii = jnp.stack([d.uniform(24, 36, (LOBES,)), d.uniform(15, 24, (LOBES,)), d.uniform(20, 32, (LOBES,))])
        loop_radii = jnp.stack([d.uniform(13.0, 24.0, (LOOPS,)), d.uniform(5.5, 9.5, (LOOPS,))], -1)
        fat_radii = d.uniform(6.0, 15.0, (FAT, 3))
        side = d.uniform(-1.0, 1.0)
        return cls(
            cavity_mm=cavity,
            wall_bump_mm=jnp.stack([d.uniform(1.5, 4.5), d.uniform(0.2, 0.8)]),
            wall_wavelength_mm=jnp.stack([d.uniform(38.0, 70.0, (3,)), d.uniform(10.0, 18.0, (3,))]),
            phase=d.uniform(0.0, 1.0, (4, 3)),
            lobe_centre_mm=_clear(_on_floor(d, cavity, side * 30.0, 26.0, lobe_radii[1]), lobe_radii.max(0)),
            lobe_axes=jax.vmap(_tilt)(d.uniform(-0.5, 0.5, (LOBES, 3))),
            lobe_radii_mm=lobe_radii.T,
            lobe_groove=jnp.stack([d.uniform(0.0, 0.9), d.uniform(14.0, 30.0)]),
            loop_centre_mm=_clear(_on_floor(d, cavity, -side * 20.0, 34.0, 2.0 * loop_radii[:, 1]), loop_radii.sum(-1)),
            loop_axes=jax.vmap(_lying)(d.uniform(-0.7, 0.7, (LOOPS, 3))),
            loop_radii_mm=loop_radii,
            loop_fold=jnp.stack([d.uniform(0.1, 1.0), d.uniform(7.0, 14.0)]),
            fat_centre_mm=_clear(_on_floor(d, cavity, 0.0, 44.0, fat_radii.min(-1)), fat_radii.max(-1)),
            fat_axes=jax.vmap(_tilt)(d.uniform(-3.0, 3.0, (FAT, 3))),
            fat_radii_mm=fat_radii,
            fat_lobules=jnp.stack([d.uniform(0.2, 0.7), d.uniform(6.5, 11.0)]),
            seam_mm=d.uniform(3.0, 6.0),
        )

    def parts(self, points: Points) -> tuple[jax.Array, ...]:
        """The fields of (cavity wall, large organ, bowel, fat)."""
        coarse = undulation(points, self.wall_wavelength_mm[0], self.phase[0])
        fine = undulation(points, self.wall_wavelength_mm[1], self.phase[1])
        rough = self.wall_bump_mm[0] * coarse + self.wall_bump_mm[1] * fine
        wall = -ellipsoid(points, jnp.zeros(3, jnp.float32), jnp.eye(3, dtype=jnp.float32), self.cavity_mm) - rough

        first, second = (
            ellipsoid(points, self.lobe_centre_mm[i], self.lobe_axes[i], self.lobe_radii_mm[i]) for i in range(LOBES)
        )
        lobe = smooth_min(first, second, 6.0)
        groove = wave((points[0] + 3.0 * coarse) / self.lobe_groove[1] + self.phase[2, 0])
        lobe = lobe + self.lobe_groove[0] * jnp.maximum(groove, 0.0) ** 2

        loop = torus(points, self.loop_centre_mm[0], self.loop_axes[0], *self.loop_radii_mm[0])
        for i in range(1, LOOPS):
            other = torus(points, self.loop_centre_mm[i], self.loop_axes[i], *self.loop_radii_mm[i])
            loop = smooth_min(loop, other, 4.0)
        haustra = wave((points[0] + 0.6 * points[2]) / self.loop_fold[1] + 0.3 * fine + self.phase[2, 1])
        loop = loop + self.loop_fold[0] * (0.5 + 0.5 * haustra)

        fat = ellipsoid(points, self.fat_centre_mm[0], self.fat_axes[0], self.fat_radii_mm[0])
        for i in range(1, FAT):
            other = ellipsoid(points, self.fat_centre_mm[i], self.fat_axes[i], self.fat_radii_mm[i])
            fat = smooth_min(fat, other, 3.0)
        lobules = undulation(points, self.fat_lobules[1] * jnp.array([1.0, 1.2, 0.9], jnp.float32), self.phase[3])
        return wall, lobe, loop, fat - self.fat_lobules[0] * jnp.sqrt(lobules**2 + 0.02)

    def field(self, points: Points) -> jax.Array:
        """Positive in the cavity, negative in tissue, mm."""
        wall, lobe, loop, fat = self.parts(points)
        return smooth_min(smooth_min(smooth_min(wall, lobe, self.seam_mm), loop, self.seam_mm), fat, self.seam_mm)

    def sample(self, key: jax.Array, count: int) -> Points:
        """Random points of the cavity, to measure the field's steepness at."""
        return tuple(jax.random.uniform(key, (3, count), jnp.float32, -80.0, 80.0))


def _on_floor(d: Draws, cavity: jax.Array, x: jax.Array | float, spread: float, height: jax.Array) -> jax.Array:
    """Centres [N,3] scattered before the camera, up to 0.6 of their bodies' `height` [N] (mm) above the floor."""
    (count,) = height.shape
    xs = x + d.uniform(-spread, spread, (count,))
    zs = d.uniform(-12.0, 44.0, (count,))
    floor = cavity[1] * jnp.sqrt(jnp.clip(1.0 - (xs / cavity[0]) ** 2 - (zs / cavity[2]) ** 2, 0.04, 1.0))
    return jnp.stack([xs, floor - d.uniform(-0.1, 0.6, (count,)) * height, zs], -1)


def _clear(centre: jax.Array, radius: jax.Array) -> jax.Array:
    """Moves centres [N,3] of bodies of `radius` [N] out of the camera's room."""
    off = centre - jnp.array(PIVOT_MM, jnp.float32)
    distance = jnp.linalg.norm(off, axis=-1, keepdims=True)
    return jnp.array(PIVOT_MM, jnp.float32) + off * jnp.maximum(1.0, (radius[:, None] + CLEAR_MM) / distance)


def _tilt(angles: jax.Array) -> jax.Array:
    """Rotation [3,3] by three small or large angles (rad) about x, y and z."""
    (a, b, c), (sa, sb, sc) = jnp.cos(angles), jnp.sin(angles)
    about_x = jnp.array([[1, 0, 0], [0, a, -sa], [0, sa, a]], jnp.float32)
    about_y = jnp.array([[b, 0, sb], [0, 1, 0], [-sb, 0, b]], jnp.float32)
    about_z = jnp.array([[c, -sc, 0], [sc, c, 0], [0, 0, 1]], jnp.float32)
    return about_x @ about_y @ about_z


def _lying(angles: jax.Array) -> jax.Array:
    """A rotation whose third axis is near y: a ring lying on the floor."""
    upright = jnp.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], jnp.float32)
    return upright @ _tilt(angles)


def organ_mucosa(key: jax.Array, specular: jax.Array) -> Mucosa:
    """Peritoneum, a dark red organ, pale bowel and yellow fat."""
    d = Draws(key)

    def near(rgb, spread: float) -> jax.Array:
        return jnp.array(rgb, jnp.float32) * d.uniform(1.0 - spread, 1.0 + spread, (3,)) * d.uniform(0.85, 1.1)

    base = [near((0.62, 0.30, 0.27), 0.1), near((0.36, 0.105, 0.085), 0.15), near((0.72, 0.46, 0.40), 0.1)]
    fat = near((0.82, 0.60, 0.24), 0.1)
    blush = [near((0.80, 0.62, 0.52), 0.1), near((0.27, 0.08, 0.085), 0.2), near((0.78, 0.42, 0.36), 0.1)]
    return Mucosa(
        seed=jax.random.bits(d.key(), (5,), jnp.uint32),
        base=jnp.stack([*base, fat]),
        blush=jnp.stack([*blush, near((0.85, 0.50, 0.22), 0.1)]),
        blood=jnp.stack([d.uniform(0.6, 0.85), d.uniform(0.2, 0.45), d.uniform(0.3, 0.55)]),
        patch_mm=d.uniform(14.0, 30.0),
        patch_edge=jnp.stack([d.uniform(0.45, 0.65), d.log_uniform(4.0, 14.0)]),
        mottle_mm=d.uniform(4.0, 11.0),
        mottle=d.uniform(0.15, 0.4),
        vessel_mm=jnp.stack([d.uniform(16.0, 28.0), d.uniform(6.0, 10.0)]),
        vessel_width=jnp.stack([d.uniform(0.02, 0.05), d.uniform(0.03, 0.08)]),
        vessels=jnp.array([[0.9, 0.5], [0.15, 0.1], [0.9, 0.9], [0.5, 0.5]], jnp.float32) * d.uniform(0.5, 1.0, (4, 2)),
        grain_mm=d.uniform(1.2, 2.5),
        grain=d.uniform(0.08, 0.2),
        ripple=d.uniform(0.03, 0.2),
        gloss=jnp.array([160.0, 140.0, 220.0, 120.0], jnp.float32) * d.uniform(0.6, 1.6, (4,)),
        shine=jnp.array([0.03, 0.04, 0.06, 0.02], jnp.float32) * d.uniform(0.6, 1.4, (4,)) * specular,
    )


def organ_path(key: jax.Array, shape: OrganShape, speed: jax.Array) -> TrocarPath:
    """A laparoscope held by one of many hands: quick or slow, sweeping or sliding, straight or oblique."""
    del shape
    d = Draws(key)
    pace = d.uniform(speed[0], speed[1])
    home, target = jnp.array(PIVOT_MM, jnp.float32), jnp.array(VIEWED_MM, jnp.float32)
    along = (target - home) / jnp.linalg.norm(target - home)
    side = jnp.array([1.0, 0.0, 0.0], jnp.float32)
    # Hands sweep to the side, up and down, and slide, each more or less.
    amount = jnp.array([14.0, 9.0, 9.0], jnp.float32) * d.uniform(0.4, 1.0, (3,))
    sway = jnp.array([[1.0], [0.3], [0.006]], jnp.float32) * amount * d.uniform(0.6, 1.0, (SWAYS, 3))
    oblique = jnp.where(d.chance(1 / 3) > 0, d.uniform(0.25, 0.5), 0.0)
    return TrocarPath(
        gaze_rad=d.uniform(-1.0, 1.0, (3,)) * jnp.array([0.1, 0.1, 0.4], jnp.float32),
        sway_mm=sway_of(d, sway, jnp.array([[0.85], [0.5], [0.03]], jnp.float32), pace),
        look_rad=draw_look(d, 0.5),
        margin_mm=jnp.float32(6.0),
        trocar_mm=home - TROCAR_MM * along,
        shaft=jnp.stack([side, jnp.cross(side, along), along]),
        depth_mm=TROCAR_MM + d.uniform(-6.0, 6.0),
        oblique=jnp.stack([oblique, d.uniform(0.0, 2 * jnp.pi)]),
    )
