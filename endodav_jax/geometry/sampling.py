"""Bilinear sampling of images at pixel coordinates, with the derivatives of the published programs.

PyTorch's `grid_sample(align_corners=True)` is the model, but coordinates are pixels here: integers are pixel
centres, x right, y down (the normalisation to [-1, 1] cancels and is left out).
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Padding = Literal["border", "zeros"]


def pixel_grid(height: int, width: int, *, dtype=jnp.float32) -> Float[Array, "H W 2"]:
    """Returns the coordinates (x, y) of every pixel centre."""
    y, x = jnp.meshgrid(jnp.arange(height, dtype=dtype), jnp.arange(width, dtype=dtype), indexing="ij")
    return jnp.stack([x, y], -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def sample_bilinear(
    image: Float[Array, "B H W C"], pixels: Float[Array, "B h w 2"], padding: Padding
) -> Float[Array, "B h w C"]:
    """Samples `image` at `pixels` (x, y).

    Outside of the image `border` repeats the nearest pixel and `zeros` mixes in zeros.  Derivatives equal PyTorch's
    at every point: with `border` a coordinate on or beyond the outermost pixel centres has none.  The derivative
    with respect to the image is a scatter that costs as much as all the rest; where the image is data it is dead
    code, which the compiler removes.

    Raises:
      ValueError: an unknown padding.
    """
    return _sample_forward(image, pixels, padding)[0]


def _sample_forward(image, pixels, padding):
    taps = _Taps(image, pixels, padding)
    sampled = sum(weight[..., None] * value for weight, value in zip(taps.weights, taps.values(image), strict=True))
    return sampled, (image, pixels)  # everything else is recomputed: it is many times larger than these two


def _sample_backward(padding, residuals, cotangent):
    image, pixels = residuals
    taps = _Taps(image, pixels, padding)
    top_left, top_right, bottom_left, bottom_right = taps.values(image)
    # Channels are few and innermost, so their sum is unrolled: a reduction over three is slow.
    d_x = d_y = jnp.zeros_like(taps.x)
    for channel in range(image.shape[-1]):
        g, a, b, c, d = (v[..., channel] for v in (cotangent, top_left, top_right, bottom_left, bottom_right))
        d_x += g * ((b - a) * (1 - taps.y) + (d - c) * taps.y)
        d_y += g * ((c - a) * (1 - taps.x) + (d - b) * taps.x)
    if padding == "border":
        height, width = image.shape[1:3]
        d_x = jnp.where((pixels[..., 0] > 0) & (pixels[..., 0] < width - 1), d_x, 0)
        d_y = jnp.where((pixels[..., 1] > 0) & (pixels[..., 1] < height - 1), d_y, 0)
    flat = jnp.zeros((image.shape[0] * image.shape[1] * image.shape[2], image.shape[3]), image.dtype)
    for weight, index in zip(taps.weights, taps.indices, strict=True):
        flat = flat.at[index.reshape(-1)].add((weight[..., None] * cotangent).reshape(-1, image.shape[3]))
    return flat.reshape(image.shape), jnp.stack([d_x, d_y], -1)


sample_bilinear.defvjp(_sample_forward, _sample_backward)


class _Taps:
    """The four neighbours of each sample: top left, top right, bottom left, bottom right.

    Attributes:
      x, y: position within the cell, 0..1, [B,h,w].
      indices: into the image with its first three axes flattened, [B,h,w] int32 each.
      inside: whether a neighbour lies in the image, [B,h,w] bool each; None with `border`, where all do.
      weights: [B,h,w] each, zero outside.
    """

    def __init__(self, image, pixels, padding):
        batch, height, width, _ = image.shape
        if padding == "border":
            x, y = jnp.clip(pixels[..., 0], 0, width - 1), jnp.clip(pixels[..., 1], 0, height - 1)
            # The last cell takes its right edge in, so that all four neighbours exist.
            left = jnp.clip(jnp.floor(x), 0, max(width - 2, 0))
            top = jnp.clip(jnp.floor(y), 0, max(height - 2, 0))
        elif padding == "zeros":
            # Two pixels beyond the edge all four neighbours are outside: further away nothing changes, and
            # coordinates that do not fit an integer (points near the camera's plane) are caught.
            x, y = jnp.clip(pixels[..., 0], -2, width + 1), jnp.clip(pixels[..., 1], -2, height + 1)
            left, top = jnp.floor(x), jnp.floor(y)
        else:
            raise ValueError(f"padding: {padding!r} is neither 'border' nor 'zeros'")
        self.x, self.y = x - left, y - top
        columns = [left.astype(jnp.int32), left.astype(jnp.int32) + 1]
        rows = [top.astype(jnp.int32), top.astype(jnp.int32) + 1]
        start = (jnp.arange(batch, dtype=jnp.int32) * (height * width))[:, None, None]
        corners = [(row, column) for row in rows for column in columns]
        self.indices = [
            start + jnp.clip(row, 0, height - 1) * width + jnp.clip(column, 0, width - 1) for row, column in corners
        ]
        weights = [wy * wx for wy in (1 - self.y, self.y) for wx in (1 - self.x, self.x)]
        self.inside = None
        if padding == "zeros":
            self.inside = [(row >= 0) & (row < height) & (column >= 0) & (column < width) for row, column in corners]
            weights = [jnp.where(inside, weight, 0) for inside, weight in zip(self.inside, weights, strict=True)]
        self.weights = weights

    def values(self, image):
        """Returns the image at the four neighbours, [B,h,w,C] each, zero outside."""
        flat = image.reshape(-1, image.shape[-1])
        values = [jnp.take(flat, index, axis=0, mode="clip") for index in self.indices]
        if self.inside is None:
            return values
        return [jnp.where(inside[..., None], value, 0) for inside, value in zip(self.inside, values, strict=True)]
