"""Photometric difference of two images, pixel by pixel: SSIM and absolute difference."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from endodav_jax import ssim
from endodav_jax.losses.windows import mean3x3


def ssim_dissimilarity(a: Float[Array, "N H W C"], b: Float[Array, "N H W C"]) -> Float[Array, "N H W C"]:
    """Returns (1 - SSIM) / 2, clipped to [0, 1], over 3x3 windows of each channel."""
    return jnp.clip(ssim.dissimilarity(mean3x3(a), mean3x3(b), mean3x3(a * b), mean3x3(a**2 + b**2)), 0, 1)


def photometric_error(
    a: Float[Array, "N H W C"], b: Float[Array, "N H W C"], ssim_weight: float
) -> Float[Array, "N H W"]:
    """Returns w (1 - SSIM)/2 + (1 - w) |a - b|, averaged over channels; the published w is 0.85."""
    return jnp.mean(ssim_weight * ssim_dissimilarity(a, b) + (1 - ssim_weight) * jnp.abs(a - b), -1)
