"""An airway: a windpipe with cartilage rings that forks twice, as a signed field."""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.shapes import Points, Shape, smooth_max, undulation, wave
from endodav_jax.data.phantom.texture import Mucosa

# Segment -> its parent: the windpipe, two main bronchi, and two branches of each.
PARENTS = (None, 0, 0, 1, 1, 2, 2)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AirwayShape(Shape):
    """The windpipe runs along +z from the origin; S segments, of which 0, 1 and 3 are the camera's way.

    Attributes:
      start_mm: [S,3].
      way_mm: [S,3] from start to end.
      radii_mm: [S,2] at start and end.
      back: [3] unit vector to the side that has no cartilage.
      ring_mm: [S] spacing of the rings.
      ring_height: of the rings over the wall, as a fraction of the radius.
      ring_wander: how unevenly they are spaced, in spacings.
      carina_mm: rounding of the edge between two branches.
      bump_mm: height of the wall's undulation, of wavelength `bump_wavelength_mm` [3] and `bump_phase` [3].
    """

    start_mm: jax.Array
    way_mm: jax.Array
    radii_mm: jax.Array
    back: jax.Array
    ring_mm: jax.Array
    ring_height: jax.Array
    ring_wander: jax.Array
    carina_mm: jax.Array
    bump_mm: jax.Array
    bump_wavelength_mm: jax.Array
    bump_phase: jax.Array

    @classmethod
    def draw(cls, key: jax.Array) -> "AirwayShape":
        """Draws a tree; branches leave at 20 to 45 degrees, each fork across the one before."""
        d = Draws(key)
        radius = d.uniform(6.0, 10.0)
        turn = d.uniform(0.0, 2 * jnp.pi)
        starts: list[jax.Array] = []
        ways: list[jax.Array] = []
        widths: list[tuple[jax.Array, jax.Array]] = []  # at both ends
        for number, parent in enumerate(PARENTS):
            if parent is None:
                start, way = jnp.array([0.0, 0.0, -30.0], jnp.float32), jnp.array([0.0, 0.0, 1.0], jnp.float32)
                length, wide = 30.0 + d.uniform(30.0, 55.0), radius
            else:
                generation = 1 if parent == 0 else 2
                side = 1.0 if number % 2 else -1.0
                along = ways[parent] / jnp.linalg.norm(ways[parent])
                angle = turn + (generation - 1) * (0.5 * jnp.pi + d.uniform(-0.5, 0.5))
                across = jnp.stack([jnp.cos(angle), jnp.sin(angle), jnp.float32(0.0)])
                across = across - (across * along).sum() * along
                across = side * across / jnp.linalg.norm(across)
                lean = d.uniform(0.35, 0.8)
                way = jnp.cos(lean) * along + jnp.sin(lean) * across
                start = starts[parent] + ways[parent]
                wide = widths[parent][1] * d.uniform(0.66, 0.85)
                length = wide * d.uniform(3.5, 6.0)
            starts.append(start)
            ways.append(way * length)
            widths.append((wide, wide * d.uniform(0.88, 1.02)))
        angle = d.uniform(0.0, 2 * jnp.pi)
        radii = jnp.array(widths, jnp.float32)
        return cls(
            start_mm=jnp.stack(starts),
            way_mm=jnp.stack(ways),
            radii_mm=radii,
            back=jnp.stack([jnp.cos(angle), jnp.sin(angle), jnp.float32(0.0)]),
            ring_mm=radii[:, 0] * d.uniform(0.45, 0.75),
            ring_height=d.uniform(0.03, 0.13),
            ring_wander=d.uniform(0.0, 0.12),
            carina_mm=d.uniform(0.6, 2.0),
            bump_mm=d.uniform(0.05, 0.35),
            bump_wavelength_mm=d.uniform(5.0, 13.0, (3,)),
            bump_phase=d.uniform(0.0, 1.0, (3,)),
        )

    @property
    def radius_mm(self) -> jax.Array:
        """Of the windpipe."""
        return self.radii_mm[0, 0]

    @property
    def clear_mm(self) -> jax.Array:
        """Radius that rings leave free along the camera's way."""
        return 0.8 * self.radii_mm[3, 0]

    @property
    def margin_mm(self) -> jax.Array:
        """The camera's smallest distance from the wall."""
        return 0.3 * self.radii_mm[3, 0]

    @property
    def reach_mm(self) -> jax.Array:
        """How far along its way the camera travels: a third of the way into the third segment."""
        lengths = jnp.linalg.norm(self.way_mm, axis=-1)
        return lengths[0] - 30.0 + lengths[1] + 0.3 * lengths[3]

    def centre(self, z: jax.Array) -> jax.Array:
        """The camera's way, windpipe, branch, branch with rounded corners: [...] mm along it -> [...,3]."""
        lengths = jnp.linalg.norm(self.way_mm, axis=-1, keepdims=True)
        ways = self.way_mm / lengths
        soft = 0.5 * self.radius_mm
        way = ways[0] * z[..., None]
        bend = lengths[0, 0] - 30.0
        for before, after in ((0, 1), (1, 3)):
            way = way + (ways[after] - ways[before]) * (soft * jax.nn.softplus((z - bend) / soft))[..., None]
            bend = bend + lengths[1, 0]
        return way

    def _wall(self, points: Points) -> tuple[jax.Array, jax.Array]:
        """The field, and how much a point belongs to a ring, 0 to 1."""
        bump = self.bump_mm * undulation(points, self.bump_wavelength_mm, self.bump_phase)
        free = rings = None
        for i in range(len(PARENTS)):
            x, y, z = (p - s for p, s in zip(points, self.start_mm[i], strict=True))
            wx, wy, wz = self.way_mm[i]
            length2 = wx * wx + wy * wy + wz * wz
            h = jnp.clip((x * wx + y * wy + z * wz) / length2, 0.0, 1.0)
            ox, oy, oz = x - h * wx, y - h * wy, z - h * wz
            radius = self.radii_mm[i, 0] + (self.radii_mm[i, 1] - self.radii_mm[i, 0]) * h
            # Rounded on the axis, where the nearest wall changes.
            off = jnp.sqrt(ox * ox + oy * oy + oz * oz + (0.15 * radius) ** 2)
            facing = (ox * self.back[0] + oy * self.back[1] + oz * self.back[2]) / off
            place = h * jnp.sqrt(length2) / self.ring_mm[i]
            ring = 0.5 + 0.5 * wave(place + self.ring_wander * wave(0.37 * place))
            # Cartilage is a horseshoe: soft at the back.
            ring = ring * jnp.clip(1.3 - 2.0 * facing, 0.0, 1.0)
            inside = radius * (1.0 - self.ring_height * ring) - off - bump
            if free is None or rings is None:
                free, rings = inside, ring
            else:
                rings = jnp.where(inside > free, ring, rings)
                free = smooth_max(free, inside, self.carina_mm)
        assert free is not None  # there is a trunk
        assert rings is not None
        return free, rings

    def parts(self, points: Points) -> tuple[jax.Array, ...]:
        """The fields of (mucosa between the rings, rings), for their colours."""
        free, ring = self._wall(points)
        return free, free + 0.8 * (1.0 - 2.0 * ring)

    def field(self, points: Points) -> jax.Array:
        """Positive in the airway, negative in tissue, mm."""
        return self._wall(points)[0]

    def sample(self, key: jax.Array, count: int) -> Points:
        """Random points in and around the segments, to measure the field's curvature at."""
        which, along = jax.random.uniform(key, (2, count), jnp.float32)
        which = jnp.floor(which * len(PARENTS)).astype(jnp.int32)
        off = jax.random.normal(jax.random.fold_in(key, 1), (count, 3), jnp.float32)
        at = self.start_mm[which] + along[:, None] * self.way_mm[which] + 0.5 * self.radii_mm[which, :1] * off
        return at[:, 0], at[:, 1], at[:, 2]


def airway_mucosa(key: jax.Array, specular: jax.Array) -> Mucosa:
    """Pale pink to red with fine vessels along the wall; rings are paler."""
    d = Draws(key)
    red = d.uniform(0.6, 0.9)
    green = red * d.uniform(0.35, 0.7)
    wall = jnp.stack([red, green, green * d.uniform(0.75, 1.0)])
    ring = wall + (jnp.array([0.85, 0.74, 0.66], jnp.float32) - wall) * d.uniform(0.1, 0.8)
    blush = wall * jnp.stack([d.uniform(0.9, 1.05), d.uniform(0.6, 1.2), d.uniform(0.6, 1.2)])
    return Mucosa(
        seed=jax.random.bits(d.key(), (5,), jnp.uint32),
        base=jnp.stack([wall, ring]),
        blush=jnp.stack([blush, ring]),
        blood=jnp.stack([d.uniform(0.6, 0.9), d.uniform(0.2, 0.6), d.uniform(0.25, 0.65)]),
        patch_mm=d.log_uniform(5.0, 20.0),
        patch_edge=jnp.stack([d.uniform(0.4, 0.7), d.log_uniform(3.0, 12.0)]),
        mottle_mm=d.log_uniform(1.2, 5.0),
        mottle=d.uniform(0.1, 0.4),
        vessel_mm=jnp.stack([d.uniform(4.0, 9.0), d.uniform(1.6, 3.5)]),
        vessel_width=jnp.stack([d.uniform(0.03, 0.08), d.uniform(0.05, 0.14)]),
        vessels=jnp.stack([d.uniform(0.2, 1.0, (2,)), d.uniform(0.0, 0.5, (2,))]),
        grain_mm=d.log_uniform(0.3, 1.2),
        grain=d.uniform(0.04, 0.18),
        ripple=d.uniform(0.03, 0.25),
        gloss=d.log_uniform(60.0, 400.0) * jnp.ones(2, jnp.float32),
        shine=d.uniform(0.03, 0.16) * specular * jnp.ones(2, jnp.float32),
    )
