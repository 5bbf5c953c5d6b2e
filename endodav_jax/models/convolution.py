"""Convolution that is fast and small on CPUs too, forward and backward.

XLA's CPU compiler has two gaps, measured with jax 0.10 and 0.12, where it falls back to a loop that is a hundred times
slower.  One is maps smaller than the kernel: the coarsest levels of small frames (2x3 pixels of 64x96) cost more than
all others together, so their windows are gathered and multiplied as one matrix.  The other is derivatives inside a
loop (`lax.scan`, `lax.map`): only in the outermost program does the compiler bring convolutions to the axis order that
its fast ones need, so they are written in that order here.

With many large frames, time is spent on memory traffic: the windows of a head of 16 channels for 16 frames of 256x320
take 720 MB.  Such frames are processed one at a time.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from endodav_jax.models.platform import on_cpu

Pads = tuple[tuple[int, int], tuple[int, int]]
ORDER = ("NHWC", "HWIO", "NHWC")
LARGE_BYTES = 16 * 2**20  # more than stays in a CPU's cache
FEW_IN = 32  # channels up to which the CPU's convolution lays out all windows in memory, those of all frames at once
FEW_OUT = 4  # channels up to which one matrix product and shifted sums are faster


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
    if not on_cpu():
        return jax.lax.conv_general_dilated(images, kernel, strides, padding, precision=precision, **options)
    sizes = tuple(zip(images.shape[1:3], kernel.shape[:2], strides, padding, strict=True))
    out = [(size + sum(pad) - k) // stride + 1 for size, k, stride, pad in sizes]
    if all(min(size, n) >= k for (size, k, _, _), n in zip(sizes, out, strict=True)):
        return _convolve(images, kernel, tuple(strides), tuple(map(tuple, padding)), precision)
    return _multiply_windows(images, kernel, strides, padding, out, precision)


def _multiply_windows(images, kernel, strides, padding, out, precision) -> Array:
    rows, columns = (
        _taps(size, *axis)
        for size, *axis in zip(images.shape[1:3], kernel.shape[:2], strides, padding, out, strict=True)
    )
    taps = np.einsum("hky,wlx->hwklyx", rows, columns).reshape(-1, math.prod(images.shape[1:3]))
    pixels = images.reshape(len(images), -1, images.shape[3])
    windows = jnp.einsum("pq,nqc->npc", jnp.asarray(taps, images.dtype), pixels, precision=precision)
    windows = windows.reshape(len(images), *out, -1)
    return jnp.matmul(windows, kernel.reshape(-1, kernel.shape[-1]), precision=precision)


def _taps(size: int, k: int, stride: int, padding: tuple[int, int], out: int) -> np.ndarray:
    """The pixel (of `size`) that each of `k` taps sees in each of `out` windows, as one-hot [out,k,size]."""
    seen = np.arange(out)[:, None] * stride + np.arange(k) - padding[0]
    return (seen[..., None] == np.arange(size)).astype(np.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _convolve(images, kernel, strides: tuple[int, int], padding: Pads, precision) -> Array:
    return _product(images, kernel, strides, padding, precision)


def _convolve_forward(images, kernel, strides, padding, precision):
    return _product(images, kernel, strides, padding, precision), (images, kernel)


def _convolve_backward(strides, padding, precision, residuals, cotangent):
    images, kernel = residuals
    axes = tuple(zip(images.shape[1:3], kernel.shape[:2], cotangent.shape[1:3], strides, padding, strict=True))
    # Image: the spread-out cotangent under the turned kernel.
    pads = tuple((k - 1 - low, size + low - 1 - (n - 1) * stride) for size, k, n, stride, (low, _) in axes)
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    if strides == (1, 1):
        d_images = _product(cotangent, turned, strides, pads, precision)
    else:
        d_images = jax.lax.conv_general_dilated(
            cotangent, turned, (1, 1), pads, lhs_dilation=strides, dimension_numbers=ORDER, precision=precision
        )
    return d_images, _kernel_gradient(images, cotangent, strides, axes, precision)


def _product(images, kernel, strides, padding, precision) -> Array:
    """The convolution, computed in the way that is fastest and takes the least memory."""
    rows, columns, n_in, n_out = kernel.shape
    plain = functools.partial(_library_product, kernel=kernel, strides=strides, padding=padding, precision=precision)
    windows = images.nbytes * rows * columns // math.prod(strides)
    # Where the padding makes images larger, as in derivatives of unpadded convolutions, windows are laid out, too.
    growing = any(sum(pad) >= k for pad, k in zip(padding, (rows, columns), strict=True))
    if len(images) == 1 or windows < LARGE_BYTES or (n_in > FEW_IN and not growing):
        return plain(images)
    if n_out <= FEW_OUT and strides == (1, 1):
        return _frame_by_frame(lambda frame: _multiply_and_shift(frame, kernel, padding, precision), images)
    return _frame_by_frame(plain, images)


def _library_product(images, kernel, strides, padding, precision) -> Array:
    # jax 0.10 is three times slower where nothing is padded, so a row is, and cropped; 0.12 does not mind.
    spare = int(strides == (1, 1) and kernel.shape[0] > 1 and not any(map(any, padding)))
    if spare:
        padding = ((0, 1), (0, 0))
    product = jax.lax.conv_general_dilated(
        images, kernel, strides, padding, dimension_numbers=ORDER, precision=precision
    )
    return product[:, : product.shape[1] - spare]


def _frame_by_frame(function, images) -> Array:
    return jax.lax.map(lambda image: function(image[None])[0], images)


def _multiply_and_shift(images, kernel, padding, precision) -> Array:
    """Multiplies every pixel by every tap of the kernel in one matrix product, then shifts and adds the parts."""
    rows, columns, n_in, n_out = kernel.shape
    padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
    height, width = padded.shape[1] - rows + 1, padded.shape[2] - columns + 1
    products = jnp.matmul(
        padded,
        kernel.transpose(2, 0, 1, 3).reshape(n_in, -1),
        precision=precision,
        preferred_element_type=_sum_dtype(images),
    )
    taps = [(i, j, (i * columns + j) * n_out) for i in range(rows) for j in range(columns)]
    parts = (products[:, i : i + height, j : j + width, at : at + n_out] for i, j, at in taps)
    return functools.reduce(jnp.add, parts).astype(images.dtype)


def _sum_dtype(images) -> jnp.dtype:
    return jnp.promote_types(images.dtype, jnp.float32)


def _kernel_gradient(images, cotangent, strides, axes, precision) -> Array:
    """The derivative of the kernel: each pixel times the cotangent it meets under each tap, [k,l,C,D].

    Large frames are processed one at a time, which is up to three times faster: transposing all of them at once, and
    the convolution's own buffers, would not fit in the cache.  Sums are at least float32.
    """
    pads = [(low, k + (n - 1) * stride - size - low) for size, k, n, stride, (low, _) in axes]
    few = cotangent.shape[3] <= FEW_OUT and strides == (1, 1)
    method = _shift_and_multiply if few else functools.partial(_convolve_by_cotangent, strides=strides)
    product = functools.partial(method, pads=pads, precision=precision, dtype=_sum_dtype(images))
    if len(images) == 1 or images.nbytes + cotangent.nbytes < LARGE_BYTES:
        return product(images, cotangent).transpose(1, 2, 0, 3).astype(images.dtype)

    def add_frame(total, frame):
        image, kernel = frame
        return total + product(image[None], kernel[None]), None

    shape = (images.shape[3], *(k for _, k, *_ in axes), cotangent.shape[3])
    total, _ = jax.lax.scan(add_frame, jnp.zeros(shape, _sum_dtype(images)), (images, cotangent))
    return total.transpose(1, 2, 0, 3).astype(images.dtype)


def _convolve_by_cotangent(images, cotangent, *, strides, pads, precision, dtype) -> Array:
    """The images, channels as batch, under the cotangent as a kernel with frames as its channels: [C,k,l,D]."""
    return jax.lax.conv_general_dilated(
        images.transpose(3, 1, 2, 0),
        cotangent.transpose(1, 2, 0, 3),
        (1, 1),
        pads,
        rhs_dilation=strides,
        dimension_numbers=ORDER,
        precision=precision,
        preferred_element_type=dtype,
    )


def _shift_and_multiply(images, cotangent, *, pads, precision, dtype) -> Array:
    """The same for few channels of the cotangent, which is shifted below the images for each tap: [C,k,l,D].

    A row of taps is one matrix product.
    """
    padded = jnp.pad(images, ((0, 0), *pads, (0, 0)))
    height, width = padded.shape[1:3]
    rows, columns = height - cotangent.shape[1] + 1, width - cotangent.shape[2] + 1
    around = jnp.pad(cotangent, ((0, 0), (rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0)))
    shifted = jnp.concatenate([around[:, :, j : j + width] for j in reversed(range(columns))], -1)
    products = [
        jax.lax.dot_general(
            padded,
            shifted[:, i : i + height],
            (((0, 1, 2), (0, 1, 2)), ((), ())),
            precision=precision,
            preferred_element_type=dtype,
        )
        for i in reversed(range(rows))
    ]
    return jnp.stack(products, 1).reshape(images.shape[3], rows, columns, cotangent.shape[3])


_convolve.defvjp(_convolve_forward, _convolve_backward)
