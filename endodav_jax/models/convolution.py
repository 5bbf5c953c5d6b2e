"""Convolution that is fast on CPUs too, forward and backward.

XLA's CPU compiler has two gaps, measured with jax 0.10 and 0.12, where it falls back to a loop that is a hundred times
slower.  Maps smaller than the kernel are one: the coarsest levels of small frames (2x3 pixels of 64x96) cost more than
all others together; there the windows are gathered and multiplied as one matrix.  Derivatives inside of a loop
(`lax.scan`, `lax.map`) are the other: the compiler brings convolutions to the order of axes that its fast ones ask for
in the outermost program alone; so they are written in that order here.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Pads = tuple[tuple[int, int], tuple[int, int]]
ORDER = ("NHWC", "HWIO", "NHWC")


def convolve(
    images: Float[Array, "N H W C"],
    kernel: Float[Array, "k l C D"],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    *,
    precision: jax.lax.Precision | None,
    **options,
) -> Float[Array, "N h w D"]:
    """`jax.lax.conv_general_dilated` of channels-last images without dilation or groups; same result.

    `options` are the library's others, which Flax passes on; the CPU's own ways take none but their defaults.
    """
    if jax.default_backend() != "cpu":
        return jax.lax.conv_general_dilated(images, kernel, strides, padding, precision=precision, **options)
    sizes = tuple(zip(images.shape[1:3], kernel.shape[:2], strides, padding, strict=True))
    out = [(size + sum(pad) - k) // stride + 1 for size, k, stride, pad in sizes]
    if all(min(size, n) >= k for (size, k, _, _), n in zip(sizes, out, strict=True)):
        return _convolve(images, kernel, tuple(strides), tuple(map(tuple, padding)), precision)
    return _multiply_windows(images, kernel, strides, padding, out, precision)


def _multiply_windows(images, kernel, strides, padding, out, precision) -> Array:
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    rows, columns = (stride * (n - 1) + 1 for stride, n in zip(strides, out, strict=True))
    windows = [
        padded[:, i : i + rows : strides[0], j : j + columns : strides[1]]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return jnp.matmul(jnp.concatenate(windows, -1), matrix, precision=precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolve(images, kernel, strides: tuple[int, int], padding: Pads, precision) -> Array:
    return jax.lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=ORDER, precision=precision)


def _convolve_forward(images, kernel, strides, padding, precision):
    return _convolve(images, kernel, strides, padding, precision), (images, kernel)


def _convolve_backward(strides, padding, precision, residuals, cotangent):
    images, kernel = residuals
    convolution = functools.partial(
        jax.lax.conv_general_dilated, window_strides=(1, 1), dimension_numbers=ORDER, precision=precision
    )
    axes = tuple(zip(images.shape[1:3], kernel.shape[:2], cotangent.shape[1:3], strides, padding, strict=True))
    # Image: the spread-out cotangent under the turned kernel.
    pads = [(k - 1 - low, size + low - 1 - (n - 1) * stride) for size, k, n, stride, (low, _) in axes]
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    d_images = convolution(cotangent, turned, padding=pads, lhs_dilation=strides)
    # Kernel: the images, channels as batch, under the cotangent as a kernel over images.
    pads = [(low, k + (n - 1) * stride - size - low) for size, k, n, stride, (low, _) in axes]
    d_kernel = convolution(
        images.transpose(3, 1, 2, 0), cotangent.transpose(1, 2, 0, 3), padding=pads, rhs_dilation=strides
    )
    return d_images, d_kernel.transpose(1, 2, 0, 3)


_convolve.defvjp(_convolve_forward, _convolve_backward)
