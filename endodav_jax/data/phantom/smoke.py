"""Cautery smoke: a veil of moving clouds between camera and tissue that thickens and clears."""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.shapes import Points, points_between
from endodav_jax.data.phantom.texture import noise

SLABS = 3  # points along a ray at which the clouds are sampled


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Smoke:
    """Clouds that stand in the world and drift.

    Attributes:
      density: extinction per mm of the thickest smoke; 0 is none.
      burst: (least, period in frames, phase) of how it comes and goes; never thinner than the least share.
      cloud_mm: size of the clouds.
      patchy: 0 for an even veil, 1 for clouds with clear air between them.
      drift_mm: [3] how far they move in a frame.
      white: [3] the veil over the picture's mean radiance.
      seed: uint32, of the clouds.
    """

    density: jax.Array
    burst: jax.Array
    cloud_mm: jax.Array
    patchy: jax.Array
    drift_mm: jax.Array
    white: jax.Array
    seed: jax.Array

    @classmethod
    def draw(cls, key: jax.Array, chance: jax.Array, space_mm: jax.Array) -> "Smoke":
        """From a breath to a veil that hides half of the tissue; `space_mm` as in `Instruments.draw`."""
        d = Draws(key)
        far = 2.5 * space_mm
        return cls(
            density=d.chance(chance) * d.log_uniform(0.35, 1.6) / far,
            burst=jnp.stack([d.uniform(0.0, 0.5), d.uniform(50.0, 140.0), d.uniform(0.0, 1.0)]),
            cloud_mm=far * d.log_uniform(0.15, 0.6),
            patchy=d.uniform(0.3, 1.0),
            drift_mm=far * d.uniform(-0.012, 0.012, (3,)),
            white=d.uniform(0.8, 1.7) * jnp.stack([d.uniform(0.93, 1.02), jnp.float32(1.0), d.uniform(0.98, 1.08)]),
            seed=jax.random.bits(d.key(), (), jnp.uint32),
        )

    def passed(self, origin: jax.Array, points: Points, t: jax.Array) -> jax.Array:
        """Share of the light of `points` [N] that comes through to `origin` [3], both in the world, in frame `t`."""
        least, period, phase = self.burst
        rise = 0.5 + 0.5 * jnp.sin(2 * jnp.pi * (t / period + phase))
        amount = least + (1.0 - least) * rise * rise * (3.0 - 2.0 * rise)
        length = jnp.sqrt(sum((p - o) ** 2 for p, o in zip(points, origin, strict=True)))
        shares = (jnp.arange(SLABS, dtype=jnp.float32)[:, None] + 0.5) / SLABS
        places = points_between(origin, points, shares)
        coarse, _ = noise(
            tuple((p - t * m) / self.cloud_mm for p, m in zip(places, self.drift_mm, strict=True)), self.seed
        )
        fine, _ = noise(
            tuple((2.3 * p - 3.1 * t * m) / self.cloud_mm for p, m in zip(places, self.drift_mm, strict=True)),
            self.seed + jnp.uint32(1),
        )
        cloud = jnp.clip(3.0 * (0.65 * coarse + 0.35 * fine) - 1.0, 0.0, 1.0)
        thick = (1.0 - self.patchy + 2.0 * self.patchy * cloud).mean(0)
        return jnp.exp(-self.density * amount * length * thick)

    def veil(self, radiance: jax.Array, passed: jax.Array) -> jax.Array:
        """Radiance [3,N] behind smoke that lets `passed` [N] of it through and shines in its place."""
        # Koschmieder's law, with an airlight that follows what the lamps give.
        airlight = self.white * radiance.mean()
        return radiance * passed + airlight[:, None] * (1.0 - passed)
