"""Convolution of maps that are smaller than its kernel.

XLA's CPU compiler has no fast convolution for them, forward or backward, and falls back to one that is a hundred
times slower; the coarsest levels of small frames (2x3 pixels of 64x96) then cost more than all others together.
There the windows are gathered and multiplied as one matrix instead.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def convolve(
    images: Float[Array, "N H W C"],
    kernel: Float[Array, "k l C D"],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **options,
) -> Float[Array, "N h w D"]:
    """`jax.lax.conv_general_dilated` of channels-last images, with the same arguments and the same result."""
    sizes = [size + sum(pad) for size, pad in zip(images.shape[1:3], padding, strict=True)]
    out = [(size - k) // s + 1 for size, k, s in zip(sizes, kernel.shape, strides, strict=False)]
    fits = all(min(n, m) >= k for n, m, k in zip(images.shape[1:3], out, kernel.shape, strict=False))
    if fits or jax.default_backend() != "cpu":
        return jax.lax.conv_general_dilated(images, kernel, strides, padding, **options)
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    windows = [
        padded[
            :, i : i + strides[0] * (out[0] - 1) + 1 : strides[0], j : j + strides[1] * (out[1] - 1) + 1 : strides[1]
        ]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return jnp.matmul(jnp.concatenate(windows, -1), matrix, precision=options["precision"])
