"""Colour jitter on the device, equal to torchvision's `ColorJitter` on float images.

The four adjustments are applied in random order with random strengths, the same for all frames of a clip; the
pipeline draws them (`contract.BATCH`: `jitter`, `jitter_order`).  The published loader jitters each scale of its
pyramid separately; only scale 0 of the jittered frames reaches a network, so only it is jittered here.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from endodav_jax.data.contract import NO_JITTER

_LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601-2, with torchvision's digits


def to_float(frames: UInt8[Array, "*axes"]) -> Float[Array, "*axes"]:
    """Frames uint8 in 0..255 as float32 in [0, 1]."""
    return frames.astype(jnp.float32) / jnp.float32(255)


def colour_jitter(
    frames: Float[Array, "B T H W 3"], jitter: Float[Array, "B 4"], order: Int[Array, "B 4"]
) -> Float[Array, "B T H W 3"]:
    """Returns frames in [0, 1] with each clip's adjustments applied in its order.

    Args:
      frames: RGB in [0, 1].
      jitter: factors of brightness, contrast, saturation and the shift of hue in turns.
      order: which of these four comes first, second, third, fourth.

    An adjustment of neutral strength (1, or 0 for hue) is skipped, so clips without jitter are returned bit-identical.
    On a CPU, clips are mapped sequentially: under `vmap`, selecting the next adjustment computes all of them.  On an
    accelerator that costs less than a loop over the clips, whose every step waits for the host.
    """

    def clip(operands):
        frames, strengths, order = operands
        neutral = strengths == jnp.asarray(NO_JITTER, strengths.dtype)

        def adjust(frames, which):
            branch = jnp.where(neutral[which], len(_ADJUSTMENTS), which)
            return jax.lax.switch(branch, (*_ADJUSTMENTS, _keep), frames, strengths[which]), None

        return jax.lax.scan(adjust, frames, order)[0]

    return jax.lax.platform_dependent(
        (frames, jitter, order), cpu=functools.partial(jax.lax.map, clip), default=jax.vmap(clip)
    )


def adjust_brightness(frames: Float[Array, "*T H W 3"], factor: Float[Array, ""]) -> Float[Array, "*T H W 3"]:
    """Multiplies by `factor`, within [0, 1]."""
    return _blend(frames, jnp.zeros_like(frames), factor)


def adjust_contrast(frames: Float[Array, "*T H W 3"], factor: Float[Array, ""]) -> Float[Array, "*T H W 3"]:
    """Blends each frame with the mean of its own grey values."""
    return _blend(frames, jnp.mean(_grey(frames), axis=(-3, -2, -1), keepdims=True), factor)


def adjust_saturation(frames: Float[Array, "*T H W 3"], factor: Float[Array, ""]) -> Float[Array, "*T H W 3"]:
    """Blends each pixel with its grey value."""
    return _blend(frames, _grey(frames), factor)


def adjust_hue(frames: Float[Array, "*T H W 3"], shift: Float[Array, ""]) -> Float[Array, "*T H W 3"]:
    """Turns hue by `shift` (a whole turn is 1) at the same saturation and value of HSV.

    With value v, saturation s and hue h in sixths of a turn, channel n of (5, 3, 1) for R, G, B is
    v - v s max(0, min(k, 4 - k, 1)), k = (n + h) mod 6.
    """
    red, green, blue = frames[..., 0], frames[..., 1], frames[..., 2]
    value = jnp.max(frames, axis=-1)
    chroma = value - jnp.min(frames, axis=-1)
    span = jnp.where(chroma > 0, chroma, 1)  # grey has no hue; any will do, and 1 keeps the division finite
    sixths = jnp.where(
        value == red,
        (green - blue) / span,
        jnp.where(value == green, 2 + (blue - red) / span, 4 + (red - green) / span),
    )
    sixths = sixths + 6 * shift
    k = jnp.mod(jnp.stack([5 + sixths, 3 + sixths, 1 + sixths], axis=-1), 6)
    return value[..., None] - chroma[..., None] * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)


def _blend(frames, other, factor):
    return jnp.clip(factor * frames + (1 - factor) * other, 0, 1)


def _grey(frames):
    return (frames @ jnp.asarray(_LUMA, frames.dtype))[..., None]


def _keep(frames, _):
    return frames


_ADJUSTMENTS: tuple[Callable, ...] = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
