"""Where the pixels of an image go when it is resized or cut, and its camera with them; NumPy, float64.

Integer coordinates are pixel centres, so the left edge of the image is at -1/2.  Resizing maps edges to edges: by s, a
coordinate u becomes (u + 1/2) s - 1/2.  Points are (x, y) and intrinsics (fx, fy, cx, cy), but sizes (height, width).
"""

from typing import overload

import numpy as np

Size = tuple[int, int]

PUBLISHED_SHAPE: Size = (256, 320)  # of the frames on which the published programs train


@overload
def resized_pixels(pixels: float, scale: float) -> float: ...
@overload
def resized_pixels(pixels: np.ndarray, scale: float | np.ndarray) -> np.ndarray: ...
def resized_pixels(pixels, scale):
    """Returns coordinates after resizing by `scale` (new size over old), one factor or one for each axis."""
    return (pixels + 0.5) * scale - 0.5


def intrinsics_of(matrix: np.ndarray) -> np.ndarray:
    """Returns (fx, fy, cx, cy), [..., 4], of camera matrices [..., 3, 3], also with a fourth row or column."""
    return matrix[..., [0, 1, 0, 1], [0, 1, 2, 2]]


def scaled_intrinsics(intrinsics: np.ndarray, sx: float, sy: float) -> np.ndarray:
    """Returns intrinsics [4] after resizing by `sx` along x and `sy` along y."""
    scale = np.array([sx, sy], np.float64)
    focal, centre = np.asarray(intrinsics, np.float64).reshape(2, 2)
    return np.concatenate([focal * scale, resized_pixels(centre, scale)])


def resized_intrinsics(intrinsics: np.ndarray, full_size: Size, size: Size) -> np.ndarray:
    """Returns intrinsics [4] of an image of `full_size` (height, width) after it is resized to `size`."""
    return scaled_intrinsics(intrinsics, size[1] / full_size[1], size[0] / full_size[0])


def cut_intrinsics(intrinsics: np.ndarray, left: float, top: float) -> np.ndarray:
    """Returns intrinsics [4] of an image after its first `left` columns and `top` rows are cropped."""
    return np.asarray(intrinsics, np.float64) - (0, 0, left, top)
