"""Mucosa: solid noise in the tissue's own coordinates, vessels as its level lines, and a palette for each part.

Noise is hashed lattice noise without tables (after Perlin, 1985), so a scene is a few numbers and every device and
batch size gives the same colours.  Detail finer than a pixel's footprint fades out, as a lens would have it.
"""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.shapes import Points

SEAM_MM = 0.4  # colours of two parts mix over about this width


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

    def appearance(
        self, points: Points, fields: tuple[jax.Array, ...], solid: jax.Array | None, footprint_mm: jax.Array
    ) -> tuple[jax.Array, Points, jax.Array, jax.Array]:
        """How the surface looks at [N] points: linear RGB reflectance [3,N], slope of the wet film, gloss and shine.

        Args:
          points: in the tissue's coordinates, mm.
          fields: the shape's parts there.
          solid: there are none in tissue.
          footprint_mm: what one pixel covers there.
        """
        del solid
        share = jax.nn.softmax(-jnp.stack(fields) / SEAM_MM, axis=0)
        film = self.film_slope(points, footprint_mm)
        return self.reflectance(points, share, footprint_mm), film, self.gloss @ share, self.shine @ share

    def reflectance(self, points: Points, share: jax.Array, footprint_mm: jax.Array) -> jax.Array:
        """Linear RGB reflectance [3, ...].

        Args:
          points: in the tissue's coordinates, mm.
          share: [P, ...] how much each part of the shape has at the point; sums to 1.
          footprint_mm: what one pixel covers there.
        """
        x, y, z = points

        def at(size, i: int, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)):
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
        """Slope of the wet film against the tissue, which breaks up highlights but does not affect depth."""
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
