"""Resizing of channels-last images by separable linear rules, each with a backward pass that gathers.

Every rule is a small matrix for each axis with a few weights a row ("taps").  A tap is one gather and one multiply;
backward, the transposed matrix is applied in the same way, so that no scatter is left.  Where a row has many taps
(the gradient of a fourfold upsampling or more) the matrix is multiplied as it is: those images have few channels, and
long sums of gathers take compilers minutes.  All run in float32, whatever the type of the image, which the result has
again.

Pixel convention: integer coordinates are pixel centres.  `align_corners` maps the corner pixels' centres to
one another; the others map the images' outer edges to one another ("half-pixel").
"""

import functools
from typing import Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

SCALES = 4  # of every pyramid, of training frames and of networks' maps: each half as large as the one before
CUBIC_A = -0.75  # of PyTorch and OpenCV alike

MOST_TAPS = 5  # that are gathered one by one

Image = TypeVar("Image", jax.Array, np.ndarray)
Size = tuple[int, ...]  # (height, width)

Rule = Literal["align_corners", "half_pixel", "antialias", "cubic"]


class AxisPlan(NamedTuple):
    """How one axis is resampled: the rule, the sizes, and the distance between samples in input pixels."""

    rule: Rule
    size_in: int
    size_out: int
    step: float


def resize_align_corners(image: Float[Array, "*batch h w C"], shape: Size) -> Float[Array, "*batch height width C"]:
    """Bilinear resize that maps corner centres to corner centres (PyTorch's `align_corners=True`), no antialias."""
    return _resize(image, shape, "align_corners", lambda n, m: (n - 1) / (m - 1) if m > 1 else 0.0)


def halve_align_corners(image: Float[Array, "*batch h w C"]) -> Float[Array, "*batch h//2 w//2 C"]:
    """`resize_align_corners` to half the size; odd sizes are rounded down, as PyTorch's `scale_factor=0.5` does."""
    height, width = image.shape[-3:-1]
    return resize_align_corners(image, (height // 2, width // 2))


def upsample_half_pixel(image: Float[Array, "*batch h w C"]) -> Float[Array, "*batch 2*h 2*w C"]:
    """Bilinear resize to twice the size that maps edges to edges (PyTorch's `align_corners=False`)."""
    height, width = image.shape[-3:-1]
    return _resize(image, (2 * height, 2 * width), "half_pixel", lambda n, m: n / m)


def resize_antialias(image: Float[Array, "*batch h w C"], shape: Size) -> Float[Array, "*batch height width C"]:
    """Bilinear resize with a triangle filter as wide as an output pixel (PyTorch's `antialias=True`)."""
    return _resize(image, shape, "antialias", lambda n, m: n / m)


def resize_cubic(image: Float[Array, "*batch h w C"], shape: Size) -> Float[Array, "*batch height width C"]:
    """Bicubic resize, a = -0.75, edges repeated, no antialias: OpenCV's `INTER_CUBIC`. May overshoot the range."""
    return _resize(image, shape, "cubic", lambda n, m: n / m)


def resize_position_grid(grid: Float[Array, "h w C"], shape: Size) -> Float[Array, "height width C"]:
    """DINOv2's bicubic resize of position embeddings, whose sampling distance is n / (m + 0.1) and not n / m."""
    return _resize(grid, shape, "cubic", lambda n, m: n / (m + 0.1))


def resize_nearest(image: Image, shape: Size, rule: Literal["align_corners", "half_pixel"]) -> Image:
    """Returns [..., height, width] of unmixed pixels of [..., h, w], for depth and masks, which must not be blended.

    Args:
      image: channels, if any, come first; NumPy's arrays stay NumPy's.
      shape: (height, width) wanted.
      rule: `align_corners` takes the pixel whose centre is nearest (half to even) where corners lie on corners;
        `half_pixel` the one whose area holds the new pixel's centre where the images' outer edges do.
    """
    rows, columns = (_nearest(old, new, rule) for old, new in zip(image.shape[-2:], shape, strict=True))
    return image[..., rows[:, None], columns]


def _nearest(size_in: int, size_out: int, rule: Rule) -> np.ndarray:
    if rule == "align_corners":
        return np.round(np.linspace(0, size_in - 1, size_out)).astype(np.int32)
    return ((np.arange(size_out) + 0.5) * (size_in / size_out)).astype(np.int32)


def lower_bound_shape(height: int, width: int, target: tuple[int, int], multiple: int = 14) -> tuple[int, int]:
    """The size a frame is first resized to for inference, as Video-Depth-Anything does.

    The aspect is kept, both sides reach `target` (height, width), and each is rounded to the nearest multiple
    (half to even) or up where that would fall below the target.
    """
    scale = max(target[0] / height, target[1] / width)

    def constrained(size: int, at_least: int) -> int:
        nearest = int(np.round(scale * size / multiple) * multiple)
        return nearest if nearest >= at_least else int(np.ceil(scale * size / multiple) * multiple)

    return constrained(height, target[0]), constrained(width, target[1])


def _resize(image: Array, shape: Size, rule: Rule, step) -> Array:
    if image.ndim < 3:
        raise ValueError(f"an image has at least the axes height, width and channels, got shape {image.shape}")
    plans = tuple(AxisPlan(rule, n, m, step(n, m)) for n, m in zip(image.shape[-3:-1], shape, strict=True))
    return _resample(image, plans)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _resample(image: Array, plans: tuple[AxisPlan, AxisPlan]) -> Array:
    """Applies the rows' plan, then the columns'."""
    result = image.astype(jnp.float32)
    for plan, axis in zip(plans, (-3, -2), strict=True):
        if not _is_identity(plan):
            result = _apply(result, _matrix(plan), axis)
    return result.astype(image.dtype)


def _resample_forward(image, plans):
    return _resample(image, plans), None


def _resample_backward(plans, _, cotangent):
    gradient = cotangent.astype(jnp.float32)
    for plan, axis in reversed(list(zip(plans, (-3, -2), strict=True))):
        if not _is_identity(plan):
            gradient = _apply(gradient, _matrix(plan).T, axis)
    return (gradient.astype(cotangent.dtype),)


_resample.defvjp(_resample_forward, _resample_backward)


def _apply(image: Array, matrix: np.ndarray, axis: int) -> Array:
    """Multiplies one axis (counted from the end) by a matrix [size_out, size_in], as cheaply as its nonzeros allow."""
    indices, weights = _nonzeros(matrix)
    if indices.shape[1] > MOST_TAPS:
        subscripts = "oi,...ixc->...oxc" if axis == -3 else "oi,...ic->...oc"
        return jnp.einsum(subscripts, matrix.astype(np.float32), image, precision=jax.lax.Precision.HIGHEST)
    column = (slice(None),) + (None,) * (-axis - 1)  # weights vary along `axis` alone
    before = (slice(None),) * (image.ndim + axis)
    # Without the barrier a compiler may compute the other axis' taps again for each tap of this one.
    image = jax.lax.optimization_barrier(image) if indices.shape[1] > 2 else image
    return sum(image[(*before, index)] * weight[column] for index, weight in zip(indices.T, weights.T, strict=True))


def _is_identity(plan: AxisPlan) -> bool:
    return plan.size_in == plan.size_out and plan.step in (0.0, 1.0)


def _nonzeros(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices int32 and weights float32 [rows, K] of each row's nonzeros, padded by zero weights to the fullest row."""
    taps = max(int((matrix != 0).sum(1).max()), 1)
    indices = np.argsort(matrix == 0, axis=1, kind="stable")[:, :taps]
    return indices.astype(np.int32), np.take_along_axis(matrix, indices, 1).astype(np.float32)


@functools.lru_cache(maxsize=256)
def _matrix(plan: AxisPlan) -> np.ndarray:
    """The dense float64 matrix [size_out, size_in] of a plan."""
    rule, size_in, size_out, step = plan
    outputs = np.arange(size_out)
    centres = outputs * step if rule == "align_corners" else (outputs + 0.5) * step - 0.5
    if rule == "antialias":
        distances = np.arange(size_in)[None] - centres[:, None]
        weights = np.maximum(0.0, 1.0 - np.abs(distances) / max(step, 1.0))
        return weights / weights.sum(1, keepdims=True)  # the filter is truncated at the edges, so renormalise it
    if rule == "cubic":
        taps, kernel = range(-1, 3), _cubic_kernel
    else:
        taps, kernel = range(2), lambda distance: np.maximum(0.0, 1.0 - np.abs(distance))
        centres = np.clip(centres, 0.0, size_in - 1)
    first = np.floor(centres).astype(int)
    matrix = np.zeros((size_out, size_in))
    for tap in taps:
        where = np.clip(first + tap, 0, size_in - 1)  # the edge is repeated
        np.add.at(matrix, (outputs, where), kernel(centres - (first + tap)))
    return matrix


def _cubic_kernel(distance: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel (1981, eq. 4) with a = -0.75."""
    d, a = np.abs(distance), CUBIC_A
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
