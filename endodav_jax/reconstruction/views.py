"""A frame prepared for tracking: a pyramid of depth, normals and illumination-normalised texture."""

import dataclasses
import functools

import cv2
import numpy as np

from endodav_jax.geometry.pixels import scaled_intrinsics

COARSEST = 24  # minimum length of the shorter side of a level in pixels
FINEST_PIXELS = 26_000  # larger frames are tracked on their first level with fewer pixels
LEVELS = 3
WINDOW = 2.5  # standard deviation, in pixels of a level, of the window in which texture is normalised
FLOOR = 3.0  # grey levels: texture weaker than sensor noise is not amplified
STEP = 1.15  # a larger ratio of depths among a pixel's neighbours is an edge, not a surface
GRAZING = 0.15  # minimum cosine between ray and normal for a surface to be tracked


@dataclasses.dataclass(frozen=True)
class Level:
    """One level of a view's pyramid, float32.

    Attributes:
      intrinsics: [4] fx, fy, cx, cy in pixels of the level.
      maps: [h,w,5] texture, its derivative along x and along y, depth, and 1 where all of them are known.
    """

    intrinsics: np.ndarray
    maps: np.ndarray

    @functools.cached_property
    def surface(self) -> np.ndarray:
        """[h,w,8]: each pixel's point and normal in camera coordinates, texture, and 1 where it can be tracked."""
        depth, known = self.maps[..., 3], self.maps[..., 4]
        rays = pixel_rays(depth.shape, self.intrinsics)
        points = rays * depth[..., None]
        normals, smooth = surface_normals(points, depth)
        cosine = -(normals * rays).sum(-1) / np.linalg.norm(rays, axis=-1)
        usable = (known > 0.5) & smooth & (cosine > GRAZING)
        return np.concatenate([points, normals, self.maps[..., :1], usable[..., None]], -1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class View:
    """A frame's pyramid, fine to coarse; depth is in the tracker's unit.

    Attributes:
      index: the frame's number.
      levels: fine to coarse.
      contrast: amount of texture, standard deviation in grey levels of 255.
    """

    index: int
    levels: tuple[Level, ...]
    contrast: float


def make_view(
    index: int, rgb: np.ndarray, depth: np.ndarray, inside: np.ndarray, intrinsics: np.ndarray, unit: float
) -> View:
    """Prepares a frame.

    Args:
      index: its number.
      rgb: uint8 [H,W,3].
      depth: float32 [H,W], 0 where unknown.
      inside: bool [H,W], tissue in the view: no border, instrument or highlight.
      intrinsics: [4].
      unit: the depth that is scaled to 1.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    known = inside & (depth > 0)
    inverse = np.where(known, unit / np.maximum(depth, 1e-9), 0).astype(np.float32)
    camera = np.asarray(intrinsics, np.float64)
    levels: list[Level] = []
    contrast = 0.0
    while len(levels) < LEVELS:
        if grey.size <= FINEST_PIXELS:
            texture, spread = _texture(grey, inside)
            contrast = contrast if levels else spread
            levels.append(_level(texture, inverse, inside, camera))
        if min(grey.shape) < 2 * COARSEST:
            if not levels:
                texture, contrast = _texture(grey, inside)
                levels.append(_level(texture, inverse, inside, camera))
            break
        grey, inverse, inside, camera = _halved(grey, inverse, inside, camera)
    return View(index, tuple(levels), contrast)


def pixel_rays(shape: tuple[int, int], intrinsics: np.ndarray) -> np.ndarray:
    """Returns K⁻¹ (u, v, 1) of every pixel, float32 [H,W,3]."""
    fx, fy, cx, cy = intrinsics
    v, u = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return np.stack([(u - cx) / fx, (v - cy) / fy, np.ones_like(u)], -1).astype(np.float32)


def surface_normals(points: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns unit normals towards the camera, float32 [H,W,3], and where they are known, bool [H,W].

    From central differences of the points [H,W,3]; unknown next to missing depth (0), depth edges and the border.
    """
    along_x, along_y = np.zeros_like(points), np.zeros_like(points)
    along_x[:, 1:-1] = points[:, 2:] - points[:, :-2]
    along_y[1:-1] = points[2:] - points[:-2]
    normals = np.cross(along_y, along_x)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = normals / np.maximum(length, 1e-12)
    box = np.ones((3, 3), np.uint8)
    least, most = cv2.erode(depth, box), cv2.dilate(depth, box)
    smooth = (least > 0) & (most < STEP * least) & (length[..., 0] > 0)
    smooth[[0, -1]] = smooth[:, [0, -1]] = False
    return normals.astype(np.float32), smooth


def texture_of(rgb: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Returns the texture of a frame at full size, normalised for illumination, float32 [H,W]."""
    return _texture(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), inside)[0]


def _texture(grey: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns grey normalised for local brightness and contrast, which change with the light, and its strength."""
    weight = _blur(inside.astype(np.float32)) + 1e-6
    mean = _blur(np.where(inside, grey, 0)) / weight
    residual = np.where(inside, grey - mean, 0)
    spread = np.sqrt(np.maximum(_blur(residual * residual) / weight, 0))
    strength = float(np.sqrt(np.mean(residual[inside] ** 2))) if inside.any() else 0.0
    return residual / (spread + FLOOR), strength


def _blur(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), WINDOW, borderType=cv2.BORDER_REFLECT_101)


def _level(texture: np.ndarray, inverse: np.ndarray, inside: np.ndarray, camera: np.ndarray) -> Level:
    along_x = cv2.Sobel(texture, cv2.CV_32F, 1, 0, scale=1 / 8)
    along_y = cv2.Sobel(texture, cv2.CV_32F, 0, 1, scale=1 / 8)
    known = cv2.erode((inside & (inverse > 0)).astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0)
    depth = np.where(inverse > 0, 1 / np.maximum(inverse, 1e-9), 0)
    maps = np.stack([texture, along_x, along_y, depth, known], -1).astype(np.float32)
    return Level(camera.astype(np.float32), maps)


def _halved(grey, inverse, inside, camera):
    """Means over 2x2 pixels; inverse depth, which is linear on planes, only where all four are known."""
    height, width = (n // 2 * 2 for n in grey.shape)

    def parts(values):
        cut = values[:height, :width]
        return np.stack([cut[::2, ::2], cut[::2, 1::2], cut[1::2, ::2], cut[1::2, 1::2]])

    depths = parts(inverse)
    known = (depths > 0).all(0) & (depths.max(0) < STEP * depths.min(0))
    halved = scaled_intrinsics(camera, 1 / 2, 1 / 2)
    return parts(grey).mean(0), np.where(known, depths.mean(0), 0), parts(inside).all(0), halved
