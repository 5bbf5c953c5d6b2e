"""Frames as another endoscope would show them: its lamps, its response, its optics and its stop.

Rendered lamps fall off with the square of the distance and sit beside the lens, so brightness alone tells depth; a
network that relies on it takes the bright side of a real picture for near.  Here the light of a frame is changed in
ways that say nothing about depth.  Everything is drawn from a seed and computed on the device.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_GAMMA = 2.2
_LEAST_LIGHT = 1e-4
_PATCHES = (4, 5)  # soft patches of light over the height and the width
_PATCH_STRENGTH = 0.4
_TAPS = 3  # of the blur, on each side
_BLACK = 8 / 255  # darker pixels without depth are outside the view


class _Draws(NamedTuple):
    """What is drawn for one clip; all its frames share it."""

    slope: jax.Array  # [2] of the logarithm of the light over the picture, per height
    dome: jax.Array  # brighter or darker towards the edges
    patch: jax.Array
    patches: jax.Array  # [*_PATCHES]
    falloff: jax.Array  # power of depth
    exposure: jax.Array  # logarithm
    balance: jax.Array  # [3] logarithms
    shoulder: jax.Array  # radiance that comes out white
    compression: jax.Array  # of highlights
    clipped: jax.Array  # bool, whether they are clipped instead
    gamma: jax.Array
    saturation: jax.Array
    changed: jax.Array  # bool; otherwise the picture stays, but for what follows
    blur: jax.Array  # in pixels
    noise: jax.Array
    noise_key: jax.Array
    corner: jax.Array  # (slope, distance) of an eight-sided stop, in heights
    ring: jax.Array  # radius of a round one
    stop: jax.Array  # 0 none, 1 eight sides, 2 round


def through_other_cameras(
    frames: Float[Array, "B T H W 3"],
    depth_mm: Float[Array, "B T H W"],
    seeds: Int[Array, " B"],
    strengths: Float[Array, " B"],
) -> tuple[Float[Array, "B T H W 3"], Float[Array, "B T H W"]]:
    """Returns frames in [0, 1] and depth (0 where it is invalid or now outside the view) of other cameras.

    Args:
      frames: RGB in [0, 1].
      depth_mm: 0 where invalid.
      seeds: of each clip; equal seeds at other places of the batch draw other cameras.
      strengths: how far brightness is taken from depth in each clip.  1 makes one side of a picture up to ten times as
        bright as the other (two standard deviations), and light fall off with a power of depth from 2.5 to 0.7 instead
        of 2; 0 keeps both, and changes soft patches of light, exposure, tone, colour, sharpness, noise and stop alone.
    """
    keys = jax.vmap(lambda seed, place: jax.random.fold_in(jax.random.key(seed), place))(seeds, jnp.arange(len(seeds)))
    draws = jax.vmap(_draw)(keys, strengths)
    return jax.vmap(_seen)(frames, depth_mm, draws)


def _draw(key: jax.Array, strength: jax.Array) -> _Draws:
    keys = iter(jax.random.split(key, 32))

    def uniform(least, most, shape=()):
        return jax.random.uniform(next(keys), shape, jnp.float32, least, most)

    def normal(*shape):
        return jax.random.normal(next(keys), shape, jnp.float32)

    def chance(share):
        return uniform(0.0, 1.0) < share

    kind = uniform(0.0, 1.0)
    return _Draws(
        slope=jnp.where(chance(0.7), strength, 0.0) * normal(2),
        dome=jnp.where(chance(0.5), strength, 0.0) * normal(),
        patch=jnp.where(chance(0.6), uniform(0.0, _PATCH_STRENGTH), 0.0),
        patches=normal(*_PATCHES),
        falloff=jnp.where(chance(0.6), strength, 0.0) * uniform(-0.5, 1.3),
        exposure=uniform(-0.6, 1.0),
        balance=0.12 * normal(3),
        shoulder=uniform(1.0, 3.0),
        compression=uniform(0.3, 1.0),
        clipped=chance(0.4),
        gamma=_GAMMA * jnp.exp(uniform(-0.5, 0.6)),
        saturation=uniform(0.2, 1.8),
        changed=chance(0.85),
        blur=jnp.where(chance(0.35), uniform(0.3, 1.2), 0.0),
        noise=jnp.where(chance(0.5), uniform(0.0, 0.03), 0.0),
        noise_key=next(keys),
        corner=jnp.stack([uniform(0.6, 1.6), uniform(0.72, 1.1)]),
        ring=uniform(0.5, 0.7),
        stop=jnp.where(kind < 0.3, 1, jnp.where(kind < 0.42, 2, 0)),
    )


def _seen(frames: jax.Array, depth_mm: jax.Array, draws: _Draws) -> tuple[jax.Array, jax.Array]:
    """One clip: frames [T,H,W,3], depth [T,H,W]."""
    height, width = depth_mm.shape[-2:]
    y = ((jnp.arange(height, dtype=jnp.float32) - (height - 1) / 2) / height)[:, None]
    x = ((jnp.arange(width, dtype=jnp.float32) - (width - 1) / 2) / height)[None, :]
    valid = depth_mm > 0

    ramp = draws.slope[0] * y + draws.slope[1] * x + draws.dome * (y * y + x * x)
    ramp = ramp - ramp.mean() + draws.patch * jax.image.resize(draws.patches, (height, width), "bicubic")
    count = jnp.maximum(valid.sum((-2, -1), keepdims=True), 1)
    mean_mm = jnp.maximum(depth_mm.sum((-2, -1), keepdims=True) / count, 1e-3)
    farther = jnp.where(valid, jnp.clip(jnp.log(jnp.where(valid, depth_mm, mean_mm) / mean_mm), -3.0, 3.0), 0.0)
    light = jnp.maximum(frames, _LEAST_LIGHT) ** _GAMMA
    light = light * jnp.exp(ramp + draws.falloff * farther + draws.exposure)[..., None] * jnp.exp(draws.balance)

    toned = light * (1.0 + light / draws.shoulder**2) / (1.0 + light * draws.compression)
    toned = jnp.clip(jnp.where(draws.clipped, light, toned), _LEAST_LIGHT, 1.0) ** (1.0 / draws.gamma)
    grey = toned.mean(-1, keepdims=True)
    toned = jnp.clip(grey + draws.saturation * (toned - grey), 0.0, 1.0)
    seen = _blurred(jnp.where(draws.changed, toned, frames), draws.blur)
    seen = seen + draws.noise * jax.random.normal(draws.noise_key, seen.shape, seen.dtype)

    eight_sided = jnp.abs(y) + jnp.abs(x) * draws.corner[0] > draws.corner[1]
    outside = jnp.where(draws.stop == 1, eight_sided, (draws.stop == 2) & (jnp.hypot(x, y) > draws.ring))
    black = outside | (~valid & (frames.max(-1) < _BLACK))
    return jnp.clip(jnp.where(black[..., None], 0.0, seen), 0.0, 1.0), jnp.where(outside, 0.0, depth_mm)


def _blurred(frames: jax.Array, sigma: jax.Array) -> jax.Array:
    """A Gaussian of `sigma` pixels over [T,H,W,3], edges repeated; 0 for none."""
    taps = jnp.arange(-_TAPS, _TAPS + 1, dtype=jnp.float32)
    weights = jnp.exp(-0.5 * (taps / jnp.maximum(sigma, 1e-3)) ** 2)
    weights = weights / weights.sum()

    def along(image, axis):
        size = image.shape[axis]
        padding = [(_TAPS, _TAPS) if i == axis else (0, 0) for i in range(image.ndim)]
        wide = jnp.pad(image, padding, mode="edge")
        shifted = (jax.lax.slice_in_dim(wide, i, i + size, axis=axis) for i in range(2 * _TAPS + 1))
        return sum(w * part for w, part in zip(weights, shifted, strict=True))

    return along(along(frames, 1), 2)
