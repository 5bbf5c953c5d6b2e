"""A nose and its sinuses: a narrow passage between septum and turbinates, bony partitions, crusts and strands."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.shapes import Points, Shape, smooth_max, smooth_min, sphere, tapered_segment, undulation
from endodav_jax.data.phantom.texture import Mucosa

TURBINATES = 3
PARTITIONS = 2
CRUSTS = 5
STRANDS = 2
REACH_MM = 26.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SinusShape(Shape):
    """The passage runs along +z, taller (y) than wide (x); the septum is its wall at -x, turbinates hang from +x.

    In most scenes one more hangs from the roof (-y) before the camera, with a cleft on either side: its rounded end is
    then nearer than what is around it, as in the view of a middle turbinate.

    Attributes:
      half_mm: [2] half width and half height.
      ends_mm: [2] z of the closed ends.
      corner_mm: rounding of the passage's edges.
      turbinate_start_mm: [TURBINATES,3], turbinate_end_mm [TURBINATES,3], turbinate_radii_mm [TURBINATES,2].
      turbinate_flat: how much taller than thick they are.
      hanging_start_mm: [3] its low end, hanging_end_mm [3] at the roof, hanging_radii_mm [2]; absent: radii of -20.
      reach_mm: how far along the passage the camera travels.
      partition_mm: [PARTITIONS] z of bony walls with a hole each.
      partition_half_mm: half their thickness.
      hole_mm: [PARTITIONS,3] centres of the holes, hole_radius_mm [PARTITIONS].
      crust_mm: [CRUSTS,3] on the walls, crust_radius_mm [CRUSTS]; one that is not there has radius -20.
      strand_start_mm: [STRANDS,3], strand_end_mm [STRANDS,3], strand_radii_mm [STRANDS,2] of mucus.
      bump_mm: [2] heights of the walls' coarse and fine undulation, bump_wavelength_mm [2,3], bump_phase [2,3].
    """

    half_mm: jax.Array
    ends_mm: jax.Array
    corner_mm: jax.Array
    turbinate_start_mm: jax.Array
    turbinate_end_mm: jax.Array
    turbinate_radii_mm: jax.Array
    turbinate_flat: jax.Array
    hanging_start_mm: jax.Array
    hanging_end_mm: jax.Array
    hanging_radii_mm: jax.Array
    reach_mm: jax.Array
    partition_mm: jax.Array
    partition_half_mm: jax.Array
    hole_mm: jax.Array
    hole_radius_mm: jax.Array
    crust_mm: jax.Array
    crust_radius_mm: jax.Array
    strand_start_mm: jax.Array
    strand_end_mm: jax.Array
    strand_radii_mm: jax.Array
    bump_mm: jax.Array
    bump_wavelength_mm: jax.Array
    bump_phase: jax.Array

    @classmethod
    def draw(cls, key: jax.Array) -> "SinusShape":
        """Draws a passage; the first `REACH_MM` of it are clear of partitions."""
        d = Draws(key)
        half = jnp.stack([d.uniform(6.0, 10.0), d.uniform(12.0, 19.0)])
        heights = jnp.array([-0.55, 0.0, 0.6], jnp.float32) + d.uniform(-0.12, 0.12, (TURBINATES,))
        begin = d.uniform(8.0, 26.0, (TURBINATES,))
        thick = half[0] * d.uniform(0.3, 0.52, (TURBINATES,))
        at_x = half[0] - 0.45 * thick
        start = jnp.stack([at_x, heights * half[1], begin], -1)
        end = jnp.stack([at_x + 1.0, heights * half[1] + d.uniform(-3.0, 3.0, (TURBINATES,)), begin + 45.0], -1)
        partition = REACH_MM + 10.0 + jnp.stack([d.uniform(0.0, 10.0), d.uniform(16.0, 30.0)])
        hole = jnp.concatenate([d.uniform(-0.5, 0.2, (PARTITIONS, 2)) * half, partition[:, None]], 1)
        side = jnp.where(d.chance(0.5, (CRUSTS,)) > 0, 1.0, -1.0)
        crust = jnp.stack(
            [side * half[0], d.uniform(-0.8, 0.8, (CRUSTS,)) * half[1], d.uniform(12.0, 50.0, (CRUSTS,))], -1
        )
        strand = jnp.stack([half[0] * jnp.ones(STRANDS), d.uniform(-0.8, 0.8, (STRANDS,)) * half[1]], -1)
        far = jnp.stack([-half[0] * jnp.ones(STRANDS), d.uniform(-0.8, 0.8, (STRANDS,)) * half[1]], -1)
        strand_z = REACH_MM + d.uniform(6.0, 22.0, (STRANDS, 1))
        thin = jnp.where(d.chance(0.35, (STRANDS,)) > 0, d.uniform(0.2, 0.6, (STRANDS,)), -20.0)
        return cls(
            half_mm=half,
            ends_mm=jnp.stack([jnp.float32(-14.0), partition[1] + d.uniform(8.0, 25.0)]),
            corner_mm=d.uniform(3.0, 8.0),
            turbinate_start_mm=start,
            turbinate_end_mm=end,
            turbinate_radii_mm=jnp.stack([thick, thick * d.uniform(0.6, 1.1, (TURBINATES,))], -1),
            turbinate_flat=d.uniform(1.0, 1.7),
            partition_mm=partition,
            partition_half_mm=d.uniform(0.4, 1.1),
            hole_mm=hole,
            hole_radius_mm=d.uniform(3.5, 8.0, (PARTITIONS,)),
            crust_mm=crust,
            crust_radius_mm=jnp.where(d.chance(0.5, (CRUSTS,)) > 0, d.uniform(0.5, 1.8, (CRUSTS,)), -20.0),
            strand_start_mm=jnp.concatenate([strand, strand_z], 1),
            strand_end_mm=jnp.concatenate([far, strand_z + d.uniform(-6.0, 6.0, (STRANDS, 1))], 1),
            strand_radii_mm=jnp.stack([thin, thin], -1),
            bump_mm=jnp.stack([d.uniform(0.3, 1.2), d.uniform(0.03, 0.25)]),
            bump_wavelength_mm=jnp.stack([d.uniform(12.0, 26.0, (3,)), d.uniform(3.5, 7.0, (3,))]),
            bump_phase=d.uniform(0.0, 1.0, (2, 3)),
            **_hanging(Draws(jax.random.fold_in(key, 1)), half),
        )

    @property
    def radius_mm(self) -> jax.Array:
        """Of the room around the camera's way."""
        return self.half_mm[0]

    @property
    def clear_mm(self) -> jax.Array:
        """Radius that is free around the camera's way."""
        return 0.55 * self.half_mm[0]

    @property
    def margin_mm(self) -> jax.Array:
        """The camera's smallest distance from a wall."""
        return 0.38 * self.half_mm[0]

    def centre(self, z: jax.Array) -> jax.Array:
        """The camera's way between septum and turbinates: [...] -> [...,3]."""
        return jnp.stack([0.0 * z - 0.35 * self.half_mm[0], 0.0 * z, z], -1)

    def parts(self, points: Points) -> tuple[jax.Array, ...]:
        """The fields of (walls and partitions, turbinates, crusts and strands)."""
        coarse = undulation(points, self.bump_wavelength_mm[0], self.bump_phase[0])
        fine = undulation(points, self.bump_wavelength_mm[1], self.bump_phase[1])
        bump = self.bump_mm[0] * coarse + self.bump_mm[1] * fine
        x, y, z = points
        across = self.half_mm[0] - jnp.sqrt(x * x + (0.15 * self.half_mm[0]) ** 2)
        upright = self.half_mm[1] - jnp.sqrt(y * y + (0.15 * self.half_mm[1]) ** 2)
        wall = smooth_min(across, upright, self.corner_mm)
        wall = smooth_min(wall, self.ends_mm[1] - z, self.corner_mm)
        wall = smooth_min(wall, z - self.ends_mm[0], self.corner_mm) + bump
        for i in range(PARTITIONS):
            solid = jnp.sqrt((z - self.partition_mm[i]) ** 2 + 0.04) - self.partition_half_mm - 0.3 * bump
            hole = self.hole_radius_mm[i] - jnp.sqrt(
                (x - self.hole_mm[i, 0]) ** 2 + (0.7 * (y - self.hole_mm[i, 1])) ** 2 + 0.3
            )
            wall = smooth_min(wall, smooth_max(solid, hole, 1.2), 2.0)
        bodies = []
        flat = jnp.stack([jnp.float32(1.0), 1.0 / self.turbinate_flat, jnp.float32(1.0)])
        squeezed = (x, y / self.turbinate_flat, z)
        along = zip(self.turbinate_start_mm, self.turbinate_end_mm, self.turbinate_radii_mm, strict=True)
        for start, end, radii in (*along, (self.hanging_start_mm, self.hanging_end_mm, self.hanging_radii_mm)):
            bodies.append(tapered_segment(squeezed, start * flat, end * flat, radii))
        turbinates = functools.reduce(lambda a, b: smooth_min(a, b, 1.0), bodies)
        crusts = (sphere(points, self.crust_mm[i], self.crust_radius_mm[i], jnp.float32(1.7)) for i in range(CRUSTS))
        debris = functools.reduce(jnp.minimum, crusts)
        for i in range(STRANDS):
            strand = tapered_segment(points, self.strand_start_mm[i], self.strand_end_mm[i], self.strand_radii_mm[i])
            debris = smooth_min(debris, strand, 1.0)
        return wall, turbinates + 0.5 * bump, debris - 0.4 * self.bump_mm[1] * fine

    def field(self, points: Points) -> jax.Array:
        """Positive in the passage, negative in tissue, mm."""
        wall, turbinates, debris = self.parts(points)
        return smooth_min(smooth_min(wall, turbinates, 1.5), debris, 0.8)

    def sample(self, key: jax.Array, count: int) -> Points:
        """Random points of the passage, to measure the field's curvature at."""
        x, y, z = jax.random.uniform(key, (3, count), jnp.float32, -1.0, 1.0)
        return self.half_mm[0] * x, self.half_mm[1] * y, 20.0 + 45.0 * z


def _hanging(d: Draws, half_mm: jax.Array) -> dict[str, jax.Array]:
    """The turbinate before the camera, and how near to it the camera goes."""
    radius = half_mm[0] * d.uniform(0.32, 0.55)
    low = jnp.stack([d.uniform(-0.5, 0.2) * half_mm[0], d.uniform(-0.25, 0.4) * half_mm[1], d.uniform(23.0, 33.0)])
    high = jnp.stack([low[0] + d.uniform(-2.0, 2.0), -half_mm[1], low[2] + d.uniform(3.0, 28.0)])
    there = d.chance(0.65) > 0
    nearest = radius + 0.38 * half_mm[0] + d.uniform(0.5, 4.0)
    return {
        "hanging_start_mm": low,
        "hanging_end_mm": high,
        "hanging_radii_mm": jnp.where(there, radius * jnp.stack([jnp.float32(1.0), d.uniform(0.5, 1.0)]), -20.0),
        "reach_mm": jnp.where(there, jnp.minimum(low[2] - nearest, REACH_MM), REACH_MM),
    }


def sinus_mucosa(key: jax.Array, specular: jax.Array) -> Mucosa:
    """Pale walls, redder swollen turbinates with winding vessels, yellow or dark crusts."""
    d = Draws(key)
    red = d.uniform(0.65, 0.92)
    green = red * d.uniform(0.45, 0.75)
    wall = jnp.stack([red, green, green * d.uniform(0.75, 1.0)])
    turbinate = wall * jnp.stack([d.uniform(0.85, 1.05), d.uniform(0.5, 0.95), d.uniform(0.5, 0.95)])
    yellow, dark = jnp.array([0.75, 0.6, 0.3], jnp.float32), jnp.array([0.3, 0.08, 0.06], jnp.float32)
    crust = jnp.where(d.chance(0.6) > 0, yellow, dark) * d.uniform(0.8, 1.15, (3,))
    blush = wall * jnp.stack([d.uniform(0.9, 1.05), d.uniform(0.6, 1.15), d.uniform(0.6, 1.15)])
    return Mucosa(
        seed=jax.random.bits(d.key(), (5,), jnp.uint32),
        base=jnp.stack([wall, turbinate, crust]),
        blush=jnp.stack([blush, turbinate * d.uniform(0.8, 1.1, (3,)), crust]),
        blood=jnp.stack([d.uniform(0.6, 0.9), d.uniform(0.2, 0.55), d.uniform(0.25, 0.6)]),
        patch_mm=d.log_uniform(4.0, 20.0),
        patch_edge=jnp.stack([d.uniform(0.4, 0.7), d.log_uniform(3.0, 12.0)]),
        mottle_mm=d.log_uniform(1.5, 5.0),
        mottle=d.uniform(0.1, 0.35),
        vessel_mm=jnp.stack([d.uniform(4.0, 9.0), d.uniform(1.6, 3.5)]),
        vessel_width=jnp.stack([d.uniform(0.03, 0.08), d.uniform(0.05, 0.14)]),
        vessels=jnp.array([[0.6, 0.4], [1.0, 0.9], [0.1, 0.1]], jnp.float32) * d.uniform(0.3, 1.0, (3, 2)),
        grain_mm=d.log_uniform(0.6, 1.6),
        grain=d.uniform(0.04, 0.18),
        ripple=d.uniform(0.02, 0.1),
        gloss=d.log_uniform(60.0, 200.0) * jnp.ones(3, jnp.float32),
        shine=d.uniform(0.02, 0.1) * specular * jnp.ones(3, jnp.float32),
    )
