"""Means over 3x3 windows, fast forward and backward.

A window is two sums of three shifted arrays, one along each axis, on images whose channels are folded into their
width: the innermost loop is then long, which is worth a factor of two on CPU over a convolution or a window
reduction.  The transposed sums are written out too, because the ones that JAX derives pad every shift.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SMALLEST_SIZE = 4  # the transposed sum handles two rows at each edge separately


def mean3x3(image: Float[Array, "N H W C"]) -> Float[Array, "N H W C"]:
    """Returns the mean of each pixel's 3x3 window, the image reflected at its edges.

    Raises:
      ValueError: an image smaller than 4x4.
    """
    count, height, width, channels = image.shape
    if min(height, width) < SMALLEST_SIZE:
        raise ValueError(f"image: {height}x{width} is smaller than {SMALLEST_SIZE}x{SMALLEST_SIZE}")
    flat = image.reshape(count, height, width * channels)
    return (_window_sum(flat, channels) * (1 / 9)).reshape(image.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _window_sum(rows: Float[Array, "N H WC"], channels: int) -> Float[Array, "N H WC"]:
    return _sum3(_sum3(rows, 2, channels), 1, 1)


def _window_sum_forward(rows, channels):
    return _window_sum(rows, channels), None


def _window_sum_backward(channels, _, cotangent):
    return (_sum3_transposed(_sum3_transposed(cotangent, 1, 1), 2, channels),)


_window_sum.defvjp(_window_sum_forward, _window_sum_backward)


def _sum3(x: Array, axis: int, step: int) -> Array:
    """Sums each element and its two neighbours, `step` apart along `axis`, reflected at the ends."""
    n = x.shape[axis]
    part = functools.partial(jax.lax.slice_in_dim, x, axis=axis)
    middle = part(0, n - 2 * step) + part(step, n - step) + part(2 * step, n)
    first = part(0, step) + 2 * part(step, 2 * step)
    last = 2 * part(n - 2 * step, n - step) + part(n - step, n)
    return jnp.concatenate([first, middle, last], axis)


def _sum3_transposed(x: Array, axis: int, step: int) -> Array:
    """The transposed map: the outermost elements count twice for their inner neighbours."""
    n = x.shape[axis]
    part = functools.partial(jax.lax.slice_in_dim, x, axis=axis)
    first = part(0, step) + part(step, 2 * step)
    second = 2 * part(0, step) + part(step, 2 * step) + part(2 * step, 3 * step)
    middle = part(step, n - 3 * step) + part(2 * step, n - 2 * step) + part(3 * step, n - step)
    last_but_one = part(n - 3 * step, n - 2 * step) + part(n - 2 * step, n - step) + 2 * part(n - step, n)
    last = part(n - 2 * step, n - step) + part(n - step, n)
    return jnp.concatenate([first, second, middle, last_but_one, last], axis)
