"""Mucosa: solid noise in the tissue's own coordinates, vessels as its level lines, and a palette for each part.

Noise is hashed lattice noise without tables (after Perlin, 1985), so a scene is a few numbers and every device and
batch size gives the same colours.  Detail finer than a pixel's footprint fades out, as a lens would have it.
"""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.shapes import Points


def noise(points: Points, seed: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Two independent smooth noises in [0, 1], features of about 1 unit of `points`; `seed` is uint32."""
    corners, weights = [], []
    for coordinate, prime in zip(points, (0x8DA6B343, 0xD8163841, 0xCB1AB31F), strict=True):
        floor = jnp.floor(coordinate)
        part = coordinate - floor
        near = floor.astype(jnp.int32).astype(jnp.uint32) * jnp.uint32(prime)
        corners.append((near, near + jnp.uint32(prime)))
        weights.append(part * part * part * (part * (part * 6.0 - 15.0) + 10.0))
    wx, wy, wz = weights
    first, second = [], []
    for ix in range(2):
        for iy in range(2):
            pair = []
            for iz in range(2):
                h = (corners[0][ix] ^ corners[1][iy] ^ corners[2][iz]) + seed
                h = (h ^ (h >> 15)) * jnp.uint32(0x2C1B3C6D)
                h = (h ^ (h >> 13)) * jnp.uint32(0x297A2D39)
                low, high = h & jnp.uint32(0xFFFF), h >> 16
                pair.append((low.astype(jnp.int32).astype(jnp.float32), high.astype(jnp.int32).astype(jnp.float32)))
            first.append(pair[0][0] + wz * (pair[1][0] - pair[0][0]))
            second.append(pair[0][1] + wz * (pair[1][1] - pair[0][1]))

    def across(values):
        a, b = values[0] + wy * (values[1] - values[0]), values[2] + wy * (values[3] - values[2])
        return (a + wx * (b - a)) * (1.0 / 65535.0)

    return across(first), across(second)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mucosa:
    """Colours (linear RGB reflectance) and texture; P is the number of parts of the shape.

    Attributes:
      seed: [5] uint32 of the noises.
      base: [P,3] reflectance.
      blush: [P,3] reflectance of the patches mixed into it.
      blood: [3] factor a vessel's core multiplies the reflectance by.
      patch_mm: size of patches.
      patch_edge: (level, sharpness) of patches.
      mottle_mm: size of the mottling.
      mottle: relative strength of it.
      vessel_mm: [2] spacing of the large and small vessels.
      vessel_width: [2] relative width.
      vessels: [P,2] strength of the large and small vessels.
      grain_mm: size of the finest texture and of the wet film's ripples.
      grain: relative strength of it.
      ripple: slope of the wet film that highlights see.
      gloss: [P] sharpness of highlights.
      shine: [P] strength of highlights.
    """

    seed: jax.Array
    base: jax.Array
    blush: jax.Array
    blood: jax.Array
    patch_mm: jax.Array
    patch_edge: jax.Array
    mottle_mm: jax.Array
    mottle: jax.Array
    vessel_mm: jax.Array
    vessel_width: jax.Array
    vessels: jax.Array
    grain_mm: jax.Array
    grain: jax.Array
    ripple: jax.Array
    gloss: jax.Array
    shine: jax.Array

    @classmethod
    def draw_colon(cls, key: jax.Array, specular: jax.Array) -> "Mucosa":
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
        return cls(
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

    @classmethod
    def draw_organ(cls, key: jax.Array, specular: jax.Array) -> "Mucosa":
        """Peritoneum, a dark red organ, pale bowel and yellow fat."""
        d = Draws(key)

        def near(rgb, spread: float) -> jax.Array:
            return jnp.array(rgb, jnp.float32) * d.uniform(1.0 - spread, 1.0 + spread, (3,)) * d.uniform(0.85, 1.1)

        base = [near((0.62, 0.30, 0.27), 0.1), near((0.36, 0.105, 0.085), 0.15), near((0.72, 0.46, 0.40), 0.1)]
        fat = near((0.82, 0.60, 0.24), 0.1)
        blush = [near((0.80, 0.62, 0.52), 0.1), near((0.27, 0.08, 0.085), 0.2), near((0.78, 0.42, 0.36), 0.1)]
        return cls(
            seed=jax.random.bits(d.key(), (5,), jnp.uint32),
            base=jnp.stack([*base, fat]),
            blush=jnp.stack([*blush, near((0.85, 0.50, 0.22), 0.1)]),
            blood=jnp.stack([d.uniform(0.6, 0.85), d.uniform(0.2, 0.45), d.uniform(0.3, 0.55)]),
            patch_mm=d.uniform(14.0, 30.0),
            patch_edge=jnp.stack([d.uniform(0.45, 0.65), d.log_uniform(4.0, 14.0)]),
            mottle_mm=d.uniform(4.0, 11.0),
            mottle=d.uniform(0.08, 0.3),
            vessel_mm=jnp.stack([d.uniform(16.0, 28.0), d.uniform(6.0, 10.0)]),
            vessel_width=jnp.stack([d.uniform(0.02, 0.05), d.uniform(0.03, 0.08)]),
            vessels=jnp.array([[0.9, 0.5], [0.15, 0.1], [0.9, 0.9], [0.5, 0.5]], jnp.float32)
            * d.uniform(0.5, 1.0, (4, 2)),
            grain_mm=d.uniform(1.2, 2.5),
            grain=d.uniform(0.03, 0.14),
            ripple=d.uniform(0.03, 0.2),
            gloss=jnp.array([120.0, 60.0, 220.0, 90.0], jnp.float32) * d.uniform(0.6, 1.6, (4,)),
            shine=jnp.array([0.05, 0.10, 0.12, 0.04], jnp.float32) * d.uniform(0.6, 1.4, (4,)) * specular,
        )

    def reflectance(self, points: Points, share: jax.Array, footprint_mm: jax.Array) -> jax.Array:
        """Linear RGB reflectance [3, ...].

        Args:
          points: in the tissue's coordinates, mm.
          share: [P, ...] how much each part of the shape has at the point; sums to 1.
          footprint_mm: what one pixel covers there.
        """
        x, y, z = points

        def at(size, i: int, shift: Points = (0.0, 0.0, 0.0)):
            return noise(tuple((p + s) / size for p, s in zip((x, y, z), shift, strict=True)), self.seed[i])

        def kept(size):
            return 1.0 / (1.0 + (2.0 * footprint_mm / size) ** 2)

        patch, density = at(self.patch_mm, 0)
        mottle, warp = at(self.mottle_mm, 1)
        bend = 0.35 * self.mottle_mm * (warp - 0.5)
        shift = (bend, 0.35 * self.mottle_mm * (mottle - 0.5), -bend)
        coarse = at(self.vessel_mm[0], 2, shift)
        large = [_level_line(n, self.vessel_width[0]) for n in coarse]
        small = [_level_line(n, self.vessel_width[1]) for n in at(self.vessel_mm[1], 3, shift)]
        fine, _ = at(self.grain_mm, 4)

        ragged = patch + 0.3 * (mottle - 0.5) + 0.25 * (coarse[0] - 0.5)
        weight = jax.nn.sigmoid(self.patch_edge[1] * 4.0 * (ragged - self.patch_edge[0]))
        strength = jnp.tensordot(self.vessels, share, ((0,), (0,)))  # [2, ...]
        thin = jnp.clip(3.0 * density - 0.8, 0.0, 1.0)
        vessel = strength[0] * jnp.maximum(large[0], 0.6 * large[1]) * kept(0.12 * self.vessel_mm[0])
        vessel = jnp.maximum(vessel, strength[1] * thin * jnp.maximum(*small) * kept(0.2 * self.vessel_mm[1]))
        shade = 1.0 + 2.0 * self.mottle * (mottle - 0.5) * kept(self.mottle_mm)
        shade = shade * (1.0 + 2.0 * self.grain * (fine - 0.5) * kept(self.grain_mm))
        base = jnp.tensordot(self.base, share, ((0,), (0,)))
        blush = jnp.tensordot(self.blush, share, ((0,), (0,)))
        blood = self.blood.reshape((3,) + (1,) * x.ndim)
        return (base + weight * (blush - base)) * shade * (1.0 + vessel * (blood - 1.0))

    def film_slope(self, points: Points, footprint_mm: jax.Array) -> Points:
        """Slope of the wet film against the tissue, which breaks highlights up; no depth comes of it."""
        size = 1.3 * self.grain_mm
        scaled = tuple(p / size + 17.0 for p in points)
        a, b = noise(scaled, self.seed[4] + jnp.uint32(1))
        c, _ = noise(scaled, self.seed[4] + jnp.uint32(2))
        strength = 2.0 * self.ripple / (1.0 + (footprint_mm / size) ** 2)
        return strength * (a - 0.5), strength * (b - 0.5), strength * (c - 0.5)


def _level_line(value: jax.Array, width: jax.Array) -> jax.Array:
    """1 on the surface where noise is 0.5, falling off over `width`: cut by the mucosa, a winding thin line."""
    u = (value - 0.5) / width
    return 1.0 / (1.0 + u * u * u * u)
