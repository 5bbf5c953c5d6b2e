"""Scale- and shift-invariant losses of disparity against known depth, as dense maps and masked means.

After Ranftl et al. 2020 (scale-and-shift-invariant error, multi-scale gradient matching) and Chen et al. 2025 (temporal
gradient matching).  A clip has one scale and one shift for all its frames; single frames are clips of one frame.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from endodav_jax.losses.reduce import masked_mean

GRADIENT_SCALES = 4
STILL = 0.05  # temporal gradients count where the true disparity changes by less, in units of its own spread
_LEAST = 1e-6  # keeps spreads and counts from zero


def normalised_disparity(depth_mm: Float[Array, "B T H W"], valid: Bool[Array, "B T H W"]) -> Float[Array, "B T H W"]:
    """Returns true disparity of each clip with mean 0 and mean absolute deviation 1 over its valid pixels."""
    disparity = jnp.where(valid, 1.0 / jnp.where(valid, depth_mm, 1.0), 0.0)
    centred = jnp.where(valid, disparity - _clip_mean(disparity, valid), 0.0)
    return centred / jnp.maximum(_clip_mean(jnp.abs(centred), valid), _LEAST)


def anchor_disparity(depth_mm: Float[Array, "B T H W"], valid: Bool[Array, "B T H W"]) -> Float[Array, "B T H W"]:
    """Returns true disparity over its clip's mean: non-negative, zero at infinity, mean 1."""
    disparity = jnp.where(valid, 1.0 / jnp.where(valid, depth_mm, 1.0), 0.0)
    return disparity / jnp.maximum(_clip_mean(disparity, valid), _LEAST)


def align_clips(
    predicted: Float[Array, "B T H W"], target: Float[Array, "B T H W"], valid: Bool[Array, "B T H W"]
) -> Float[Array, "B T H W"]:
    """Returns predictions aligned to the target by each clip's least-squares scale and shift (differentiable)."""
    p, t = _clip_mean(predicted, valid), _clip_mean(target, valid)
    centred = predicted - p
    scale = _clip_mean(centred * (target - t), valid) / jnp.maximum(_clip_mean(centred**2, valid), _LEAST)
    return scale * centred + t


def gradient_matching(difference: Float[Array, "B T H W"], valid: Bool[Array, "B T H W"]) -> Float[Array, ""]:
    """Mean absolute spatial gradient of the difference, summed over scales of every 1, 2, 4 and 8 pixels."""
    total = jnp.float32(0)
    for scale in range(GRADIENT_SCALES):
        step = 2**scale
        d, v = difference[..., ::step, ::step], valid[..., ::step, ::step]
        total += masked_mean(jnp.abs(d[..., 1:] - d[..., :-1]), v[..., 1:] & v[..., :-1])
        total += masked_mean(jnp.abs(d[..., 1:, :] - d[..., :-1, :]), v[..., 1:, :] & v[..., :-1, :])
    return total


def temporal_gradient_matching(
    aligned: Float[Array, "B T H W"], target: Float[Array, "B T H W"], valid: Bool[Array, "B T H W"]
) -> Float[Array, ""]:
    """Mean difference of the changes from frame to frame, where the truth at that pixel hardly changes."""
    change, truth = aligned[:, 1:] - aligned[:, :-1], target[:, 1:] - target[:, :-1]
    counted = valid[:, 1:] & valid[:, :-1] & (jnp.abs(truth) < STILL)
    return masked_mean(jnp.abs(change - truth), counted)


def absolute_error(
    predicted: Float[Array, "B T H W"], target: Float[Array, "B T H W"], valid: Bool[Array, "B T H W"]
) -> Float[Array, ""]:
    """Mean absolute difference over valid pixels."""
    return masked_mean(jnp.abs(predicted - target), valid)


def log_error(
    disparity: Float[Array, "B T H W"], depth_mm: Float[Array, "B T H W"], valid: Bool[Array, "B T H W"], least: float
) -> Float[Array, ""]:
    """Mean absolute error of log depth after each clip's mean error is taken off, which is its scale.

    Args:
      disparity: predicted; below `least` it counts as that.
      depth_mm: the truth.
      valid: where the truth is known.
      least: above zero.
    """
    error = jnp.log(jnp.maximum(disparity, least)) + jnp.log(jnp.where(valid, depth_mm, 1.0))
    return masked_mean(jnp.abs(error - _clip_mean(error, valid)), valid)


def _clip_mean(x: jax.Array, valid: jax.Array) -> jax.Array:
    axes = (1, 2, 3)
    count = jnp.maximum(jnp.sum(valid, axes, keepdims=True), 1).astype(jnp.float32)
    return jnp.sum(jnp.where(valid, x, 0.0), axes, keepdims=True) / count
