"""Fluid on the lens: droplets that bend and blur the picture where they sit, and a thin film that wobbles."""

import dataclasses

import jax
import jax.numpy as jnp

from endodav_jax.data.phantom.draws import Draws
from endodav_jax.data.phantom.texture import noise

DROPS = 4
_HIGHEST = jax.lax.Precision.HIGHEST


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WetLens:
    """Lengths are fractions of the picture's height, places are off its centre.

    Attributes:
      place: [DROPS,2] x and y of the droplets; `slide` [DROPS,2] how far they move in a frame.
      radius: [DROPS]; 0 is no droplet.
      bend: [DROPS] how strongly a droplet refracts: 1 shows its middle at every point.
      stay: [DROPS + 1,3] (threshold, period in frames, phase) of when droplets and film are there.
      film: how far the film shifts the picture at most; 0 is none.
      film_size: of its waves.
      blur: standard deviation of the blur under fluid.
      seed: uint32, of the film and of the droplets' outlines.
    """

    place: jax.Array
    slide: jax.Array
    radius: jax.Array
    bend: jax.Array
    stay: jax.Array
    film: jax.Array
    film_size: jax.Array
    blur: jax.Array
    seed: jax.Array

    @classmethod
    def draw(cls, key: jax.Array, chance: jax.Array) -> "WetLens":
        """Droplets, a film, or both, each for a third of the wet sequences."""
        d = Draws(key)
        wet, kind = d.chance(chance), d.uniform(0.0, 3.0)
        kept = wet * (kind < 2.0) * jnp.concatenate([jnp.ones(1, jnp.float32), d.chance(0.6, (DROPS - 1,))])
        speed = d.uniform(0.0, 0.004, (DROPS, 1))
        down = jnp.concatenate([d.uniform(-0.3, 0.3, (DROPS, 1)), jnp.ones((DROPS, 1), jnp.float32)], 1)
        return cls(
            place=d.uniform(-0.42, 0.42, (DROPS, 2)),
            slide=speed * down,
            radius=kept * jnp.exp(d.uniform(jnp.log(0.06), jnp.log(0.22), (DROPS,))),
            bend=d.uniform(0.3, 0.9, (DROPS,)),
            stay=jnp.stack(
                [d.uniform(-0.4, 0.4, (DROPS + 1,)), d.uniform(60.0, 160.0, (DROPS + 1,)),
                 d.uniform(0.0, 1.0, (DROPS + 1,))], -1,
            ),
            film=wet * (kind >= 1.0) * d.log_uniform(0.01, 0.04),
            film_size=d.uniform(0.15, 0.5),
            blur=d.log_uniform(0.006, 0.03),
            seed=jax.random.bits(d.key(), (), jnp.uint32),
        )  # fmt: skip

    def of_other_eye(self) -> "WetLens":
        """Fluid on the other eye's lens, which is in other places."""
        return dataclasses.replace(self, place=-self.place[:, ::-1], seed=self.seed ^ jnp.uint32(0x9E3779B9))

    def through(self, radiance: jax.Array, t: jax.Array) -> jax.Array:
        """Radiance [3,H,W] as the wet lens shows it in frame `t`; untouched pixels stay as they are."""
        _, height, width = radiance.shape
        y = jnp.broadcast_to(((jnp.arange(height, dtype=jnp.float32) - (height - 1) / 2) / height)[:, None],
                             (height, width))  # fmt: skip
        x = jnp.broadcast_to(((jnp.arange(width, dtype=jnp.float32) - (width - 1) / 2) / height)[None, :],
                             (height, width))  # fmt: skip
        threshold, period, phase = self.stay.T
        there = jnp.clip(4.0 * (jnp.sin(2 * jnp.pi * (t / period + phase)) - threshold), 0.0, 1.0)
        shift_x, shift_y, soft = jnp.zeros_like(x), jnp.zeros_like(x), jnp.zeros_like(x)
        u, v = x / self.film_size, y / self.film_size + 0.01 * t
        first, second = noise((u, v, 0.02 * t + jnp.zeros_like(u)), self.seed)
        for i in range(DROPS):
            # A droplet slides while it stays, and comes back to its place when it has gone.
            turns = t / period[i] + phase[i]
            age = period[i] * (turns - jnp.floor(turns))
            off_x, off_y = x - self.place[i, 0] - age * self.slide[i, 0], y - self.place[i, 1] - age * self.slide[i, 1]
            radius = jnp.maximum(self.radius[i], 1e-3)
            # No droplet is a circle.
            rim_x, rim_y = off_x / radius + 0.7 * (first - 0.5), off_y / radius + 0.7 * (second - 0.5)
            inside = jnp.clip(1.0 - rim_x**2 - rim_y**2, 0.0, 1.0)
            # Flat in the middle, steep at the rim, nothing outside.
            lens = jnp.clip(2.0 * inside, 0.0, 1.0) * there[i] * (self.radius[i] > 0)
            shift_x, shift_y = shift_x - lens * self.bend[i] * off_x, shift_y - lens * self.bend[i] * off_y
            soft = jnp.maximum(soft, lens)
        cover, _ = noise((0.6 * u, 0.6 * v, jnp.full_like(u, 7.5)), self.seed + jnp.uint32(1))
        spread = jnp.clip(4.0 * (cover - 0.4), 0.0, 1.0) * there[DROPS]
        shift_x, shift_y = (
            shift + spread * self.film * 2.0 * (wave - 0.5) for shift, wave in ((shift_x, first), (shift_y, second))
        )
        soft = jnp.maximum(soft, 0.7 * spread * (self.film > 0))
        blurred = _gaussian(radiance, self.blur * height)
        both = _sample(jnp.concatenate([radiance, blurred]), height * shift_x, height * shift_y)
        return both[:3] + soft * (both[3:] - both[:3])


def _gaussian(image: jax.Array, sigma: jax.Array) -> jax.Array:
    """Gaussian blur of [3,H,W] by `sigma` pixels, normalised at the edges."""

    def taps(size: int) -> jax.Array:
        place = jnp.arange(size, dtype=jnp.float32)
        weights = jnp.exp(-0.5 * ((place[:, None] - place) / jnp.maximum(sigma, 0.1)) ** 2)
        return weights / weights.sum(1, keepdims=True)

    _, height, width = image.shape
    return jnp.einsum("hi,cij,wj->chw", taps(height), image, taps(width), precision=_HIGHEST)


def _sample(image: jax.Array, shift_x: jax.Array, shift_y: jax.Array) -> jax.Array:
    """Bilinear values of [C,H,W] at each pixel plus its shift [H,W] in pixels, edges repeated."""
    _, height, width = image.shape
    x = jnp.clip(jnp.arange(width, dtype=jnp.float32)[None, :] + shift_x, 0.0, width - 1.0)
    y = jnp.clip(jnp.arange(height, dtype=jnp.float32)[:, None] + shift_y, 0.0, height - 1.0)
    left = jnp.minimum(jnp.floor(x), width - 2).astype(jnp.int32)
    top = jnp.minimum(jnp.floor(y), height - 2).astype(jnp.int32)
    wx, wy = x - left, y - top
    upper = image[:, top, left] * (1.0 - wx) + image[:, top, left + 1] * wx
    lower = image[:, top + 1, left] * (1.0 - wx) + image[:, top + 1, left + 1] * wx
    return upper * (1.0 - wy) + lower * wy
