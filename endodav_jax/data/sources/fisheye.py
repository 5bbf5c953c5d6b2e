"""Scaramuzza's omnidirectional camera, as C3VD's colonoscope is published, and its removal.

A pixel (u, v) looks along the ray (x, y, a0 + a2 r^2 + a3 r^3 + a4 r^4) with (x, y) = A^-1 (u - cx, v - cy),
A = [[c, d], [e, 1]] and r^2 = x^2 + y^2 (Scaramuzza, Martinelli, Siegwart, ICVS 2006).
"""

import dataclasses

import cv2
import numpy as np


@dataclasses.dataclass(frozen=True)
class ScaramuzzaCamera:
    """Parameters in pixels of an image of `width` x `height`; `polynomial` is a0, a1, ... of the ray's z by radius."""

    width: int
    height: int
    cx: float
    cy: float
    polynomial: tuple[float, ...]
    c: float
    d: float
    e: float

    def rays(self, uv: np.ndarray) -> np.ndarray:
        """Returns the directions [..., 3] with z = 1 in which pixels [..., 2] look; inf where that is not forward."""
        affine = np.array([[self.c, self.d], [self.e, 1.0]])
        xy = (np.asarray(uv, np.float64) - (self.cx, self.cy)) @ np.linalg.inv(affine).T
        z = np.polynomial.polynomial.polyval(np.linalg.norm(xy, axis=-1), self.polynomial)
        rays = np.concatenate([xy, z[..., None]], axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(z[..., None] > 0, rays / z[..., None], np.inf)

    def resized(self, width: int, height: int) -> "ScaramuzzaCamera":
        """Returns the camera of images resized to `width` x `height`.

        Radii and z scale together by s: a0 s, a2 / s, a3 / s^2, ...; unequal scales go into the affine part.
        """
        sx, sy = width / self.width, height / self.height
        return dataclasses.replace(
            self,
            width=width,
            height=height,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
            polynomial=tuple(a * sy ** (1 - k) for k, a in enumerate(self.polynomial)),
            c=self.c * sx / sy,
            d=self.d * sx / sy,
        )

    def pixels(self, rays: np.ndarray) -> np.ndarray:
        """Returns the pixels [..., 2] that see directions [..., 3] with z > 0, inverting r / z(r) by a fine table."""
        radius = np.linspace(0.0, np.hypot(self.width, self.height), 20001)
        z = np.polynomial.polynomial.polyval(radius, self.polynomial)
        forward = np.argmax(z <= 0) or len(z)
        tangent = radius[:forward] / z[:forward]
        monotonic = np.argmax(np.diff(tangent) <= 0) or forward
        slope = np.asarray(rays[..., :2], np.float64) / rays[..., 2:]
        length = np.linalg.norm(slope, axis=-1, keepdims=True)
        found = np.interp(length, tangent[:monotonic], radius[:monotonic], right=np.nan)
        xy = slope * found / np.maximum(length, 1e-12)
        return xy @ np.array([[self.c, self.d], [self.e, 1.0]]).T + (self.cx, self.cy)


class Undistorter:
    """Resamples fisheye images as a pinhole camera of the same centre and size sees them."""

    def __init__(self, camera: ScaramuzzaCamera, intrinsics: np.ndarray):
        """Prepares the map; `intrinsics` float64 [4] are the pinhole camera's."""
        fx, fy, cx, cy = intrinsics
        u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(u.shape)], axis=-1)
        # Pixels beyond the fisheye's field are sent outside the image.
        pixels = np.nan_to_num(camera.pixels(rays), nan=-10.0).astype(np.float32)
        self._x, self._y = np.ascontiguousarray(pixels[..., 0]), np.ascontiguousarray(pixels[..., 1])

    def image(self, image: np.ndarray) -> np.ndarray:
        """Returns an image [H, W, 3] resampled linearly, black outside."""
        return cv2.remap(image, self._x, self._y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)

    def depth(self, depth: np.ndarray) -> np.ndarray:
        """Returns depth along the axis, [H, W], of the nearest pixel (Z stays, as the centre does), 0 outside."""
        return cv2.remap(depth, self._x, self._y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
