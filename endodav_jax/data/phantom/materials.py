"""Materials: patches, checks, stripes, dots, grain and plain colour, one material for each body."""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.shapes import Points, wave
from endodav_jax.data.phantom.texture import noise

PATTERNS = 4  # patches, checks, stripes, dots
PLAIN = 0.1  # share of bodies of one colour, apart from their grain


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Materials:
    """P materials, first those of the shape's parts, then those of its solids.

    Attributes:
      seed: [3] uint32 of the noises.
      colour: [P,2,3] linear RGB reflectance of ground and pattern.
      frame: [P,3,3] pattern coordinates from mm.
      pattern: [P,PATTERNS] 1 for the pattern in use.
      edge: [P] sharpness of the pattern.
      warp: [P] how far noise bends it, in pattern units.
      mottle: [P] relative strength of cloudy shades.
      grain: [P] relative strength of the finest texture, of size `grain_mm` [P].
      ripple: [P] slope of the surface's fine waves, for highlights.
      gloss: [P] sharpness of highlights.
      shine: [P] strength of highlights.
    """

    seed: jax.Array
    colour: jax.Array
    frame: jax.Array
    pattern: jax.Array
    edge: jax.Array
    warp: jax.Array
    mottle: jax.Array
    grain: jax.Array
    grain_mm: jax.Array
    ripple: jax.Array
    gloss: jax.Array
    shine: jax.Array

    @classmethod
    def draw(cls, key: jax.Array, count: int, specular: jax.Array) -> "Materials":
        """Any colours, patterns of 1.5 to 20 mm, dull to polished."""
        d = Draws(key)

        def many(low, high, shape=(), log=False):
            values = jax.random.uniform(d.key(), (count, *shape), jnp.float32)
            low, high = (jnp.log(low), jnp.log(high)) if log else (low, high)
            return jnp.exp(low + (high - low) * values) if log else low + (high - low) * values

        grey = many(0.06, 0.9, (2, 1), log=True)
        tint = many(0.0, 1.0, (2, 3)) ** 1.5
        vivid = many(0.0, 1.0, (2, 1)) ** 1.5
        colour = jnp.clip(grey * (1.0 - vivid + 1.6 * vivid * tint), 0.02, 0.95)
        # Ground and pattern differ, or there would be nothing to see.
        alike = jnp.abs(jnp.log(colour[:, 0].mean(-1) / colour[:, 1].mean(-1)))[:, None] < 0.5
        colour = colour.at[:, 1].multiply(jnp.where(alike, 0.4, 1.0))
        size = many(1.5, 20.0, (1,), log=True) * many(0.6, 1.6, (3,))
        turned = jax.random.orthogonal(d.key(), 3, (count,)).astype(jnp.float32)
        kind = jax.random.randint(d.key(), (count,), 0, PATTERNS)
        plain = many(0.0, 1.0) < PLAIN
        # Bent stripes are marble and wood, bent checks camouflage, bent dots pebbles.
        warp = jnp.where(many(0.0, 1.0) < 0.5, 0.0, many(0.1, 1.6))
        polished = many(0.0, 1.0) ** 3
        return cls(
            seed=jax.random.bits(d.key(), (3,), jnp.uint32),
            colour=jnp.where(plain[:, None, None], colour[:, :1], colour),
            frame=turned / size[:, :, None],
            pattern=jax.nn.one_hot(kind, PATTERNS),
            edge=many(2.0, 40.0, log=True),
            warp=warp,
            mottle=many(0.05, 0.5),
            grain=many(0.05, 0.5),
            grain_mm=many(0.3, 2.0, log=True),
            ripple=many(0.0, 0.15),
            gloss=many(10.0, 400.0, log=True),
            shine=0.25 * polished * specular,
        )

    def appearance(
        self, points: Points, fields: tuple[jax.Array, ...], solid: jax.Array | None, footprint_mm: jax.Array
    ) -> tuple[jax.Array, Points, jax.Array, jax.Array]:
        """How bodies look at [N] points: linear RGB reflectance [3,N], slope of fine waves, gloss and shine.

        Args:
          points: in the world, mm.
          fields: of the shape's parts there; the least is the one met.
          solid: int32 [N] number of the solid met, -1 for none.
          footprint_mm: what one pixel covers there.
        """
        assert solid is not None  # rooms have solids
        own = jnp.where(solid >= 0, len(fields) + solid, jnp.argmin(jnp.stack(fields), axis=0))
        count = self.edge.shape[0]
        columns = [self.colour, self.frame, self.pattern, self.edge, self.warp, self.mottle, self.grain]
        columns += [self.grain_mm, self.ripple, self.gloss, self.shine]
        table = jnp.concatenate([c.reshape(count, -1) for c in columns], 1)
        # A product with a one-hot matrix is a faster gather than a gather.
        chosen = jnp.matmul(
            table.T,
            (own[None, :] == jnp.arange(count)[:, None]).astype(jnp.float32),
            precision=jax.lax.Precision.HIGHEST,
        )
        colour, frame, pattern = chosen[:6].reshape(2, 3, -1), chosen[6:15].reshape(3, 3, -1), chosen[15:19]
        edge, warp, mottle, grain, grain_mm, ripple, gloss, shine = chosen[19:]

        # Every body has its own piece of the noise.
        shift = 17.3 * own.astype(jnp.float32)
        u, v, w = (row[0] * points[0] + row[1] * points[1] + row[2] * points[2] + shift for row in frame)
        coarse, other = noise((u, v, w), self.seed[0])
        fine, cloud = noise((3.7 * u, 3.7 * v, 3.7 * w), self.seed[1])
        speck, _ = noise(tuple(p / grain_mm for p in points), self.seed[2])
        bend_u, bend_v = warp * (coarse + 0.3 * fine - 0.65), warp * (other + 0.3 * cloud - 0.65)
        bent_u, bent_v, bent_w = u + bend_u, v + bend_v, w + 0.5 * (bend_u - bend_v)
        off = tuple(c - jnp.round(c) for c in (bent_u, bent_v, bent_w))
        height = (
            pattern[0] * (coarse + 0.4 * fine - 0.7)
            + pattern[1] * 0.5 * wave(0.5 * bent_u) * wave(0.5 * bent_v) * wave(0.5 * bent_w)
            + pattern[2] * 0.5 * wave(bent_u)
            + pattern[3] * 2.0 * (0.12 - sum(o * o for o in off))
        )
        scale = jax.lax.rsqrt((frame[0] ** 2).sum(0))
        kept = 1.0 / (1.0 + (2.0 * footprint_mm / scale) ** 2)
        soft = edge / (1.0 + edge * footprint_mm / scale)
        mix = 0.5 + kept * (jax.nn.sigmoid(4.0 * soft * height) - 0.5)
        shade = 1.0 + 2.0 * mottle * (0.6 * (cloud - 0.5) + 0.4 * (other - 0.5)) * kept
        shade = shade * (1.0 + 2.0 * grain * (speck - 0.5) / (1.0 + (2.0 * footprint_mm / grain_mm) ** 2))
        slope = 2.0 * ripple * kept
        film = slope * (fine - 0.5), slope * (cloud - 0.5), slope * (other - 0.5)
        return (colour[0] + mix * (colour[1] - colour[0])) * shade, film, gloss, shine
