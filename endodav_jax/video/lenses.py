"""Camera models for wide-angle endoscopes: the ray of each pixel, and the pixel of each ray.

Four kinds: the pinhole, OpenCV's pinhole with distortion coefficients, OpenCV's fisheye (Kannala and Brandt 2006) and
the omnidirectional camera of Scaramuzza, Martinelli and Siegwart (ICVS 2006), which Matlab calibrates and C3VD uses.
COLMAP's models are the first three under other names.  Pixels: integer coordinates are pixel centres.
"""

import abc
import dataclasses
import functools
from typing import Any

import cv2
import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.geometry.pixels import cut_intrinsics, resized_pixels, scaled_intrinsics

# COLMAP's models -> positions of fx, fy, cx, cy among their parameters, whether they are fisheyes, and positions of k1,
# k2, p1, p2, ... (k1 ... k4 for a fisheye); None stands for 0.
_COLMAP: dict[str, tuple[tuple[int, ...], bool, tuple[int | None, ...], int]] = {
    "SIMPLE_PINHOLE": ((0, 0, 1, 2), False, (), 3),
    "PINHOLE": ((0, 1, 2, 3), False, (), 4),
    "SIMPLE_RADIAL": ((0, 0, 1, 2), False, (3, None, None, None), 4),
    "RADIAL": ((0, 0, 1, 2), False, (3, 4, None, None), 5),
    "OPENCV": ((0, 1, 2, 3), False, (4, 5, 6, 7), 8),
    "FULL_OPENCV": ((0, 1, 2, 3), False, (4, 5, 6, 7, 8, 9, 10, 11), 12),
    "SIMPLE_RADIAL_FISHEYE": ((0, 0, 1, 2), True, (3, None, None, None), 4),
    "RADIAL_FISHEYE": ((0, 0, 1, 2), True, (3, 4, None, None), 5),
    "OPENCV_FISHEYE": ((0, 1, 2, 3), True, (4, 5, 6, 7), 8),
}
COLMAP_MODELS = tuple(_COLMAP)

BROWN_COUNTS = (4, 5, 8, 12, 14)  # numbers of coefficients that OpenCV accepts
_SAMPLES = 20001  # entries of the tables over the radius
_WIDEST = 20.0  # tangent of 87 degrees: a ray farther off the axis has no useful depth along it
_NEWTON_STEPS = 12
_SAME_PX = 1e-3


class Lens(abc.ABC):
    """A central camera: the rays of all its pixels pass through one point.

    Attributes:
      intrinsics: float64 [4], fx, fy, cx, cy of the pinhole that approximates it near its axis.
    """

    intrinsics: np.ndarray

    @property
    def distorted(self) -> bool:
        """Whether it differs from a pinhole."""
        return True

    @abc.abstractmethod
    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the ray directions [..., 3] with z = 1 of pixels [..., 2]; inf where a ray does not point forward."""

    @abc.abstractmethod
    def pixels(self, rays: np.ndarray) -> np.ndarray:
        """Returns the pixels [..., 2] that see directions [..., 3] with z > 0; NaN outside the field of view."""

    @abc.abstractmethod
    def scaled(self, sx: float, sy: float) -> "Lens":
        """Returns the camera for images resized by these factors."""

    @abc.abstractmethod
    def cut(self, left: float, top: float) -> "Lens":
        """Returns the camera for images without their first `left` columns and `top` rows."""

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Returns the camera in the form that `lens_from_json` reads."""

    def ray_grid(self, size: tuple[int, int]) -> np.ndarray:
        """Returns the rays [H, W, 3] for an image of `size` (height, width)."""
        return self.rays(pixel_grid(size))


def pixel_grid(size: tuple[int, int]) -> np.ndarray:
    """Returns float64 [H, W, 2], x and y of every pixel."""
    u, v = np.meshgrid(np.arange(size[1], dtype=np.float64), np.arange(size[0], dtype=np.float64))
    return np.stack([u, v], axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class Pinhole(Lens):
    """A camera without distortion."""

    intrinsics: np.ndarray

    @property
    def distorted(self) -> bool:
        return False

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        focal, centre = self.intrinsics[:2], self.intrinsics[2:]
        slopes = (np.asarray(pixels, np.float64) - centre) / focal
        return np.concatenate([slopes, np.ones((*slopes.shape[:-1], 1))], axis=-1)

    def pixels(self, rays: np.ndarray) -> np.ndarray:
        return _slopes(rays) * self.intrinsics[:2] + self.intrinsics[2:]

    def scaled(self, sx: float, sy: float) -> "Pinhole":
        return Pinhole(scaled_intrinsics(self.intrinsics, sx, sy))

    def cut(self, left: float, top: float) -> "Pinhole":
        return Pinhole(cut_intrinsics(self.intrinsics, left, top))

    def to_json(self) -> dict[str, Any]:
        return {"model": "pinhole", "intrinsics": self.intrinsics.tolist()}


@dataclasses.dataclass(frozen=True, eq=False)
class OpenCVLens(Lens):
    """OpenCV's distorted pinhole, or its fisheye.

    Attributes:
      intrinsics: float64 [4], of the camera matrix.
      distortion: k1, k2, p1, p2, k3, ... in OpenCV's order; k1 to k4 for a fisheye.
      fisheye: whether it is the fisheye.
    """

    intrinsics: np.ndarray
    distortion: tuple[float, ...]
    fisheye: bool = False

    def __post_init__(self):
        counts = (4,) if self.fisheye else BROWN_COUNTS
        if len(self.distortion) not in counts:
            kind = "fisheye" if self.fisheye else "pinhole"
            raise ValueError(
                f"{len(self.distortion)} distortion coefficients; OpenCV's {kind} has {', '.join(map(str, counts))}"
            )
        if not np.isfinite(self.distortion).all():
            raise ValueError("distortion coefficients that are not finite")

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        pixels = np.asarray(pixels, np.float64)
        wanted = ((pixels - self.intrinsics[2:]) / self.intrinsics[:2]).reshape(-1, 2)
        slopes = self._undistorted(wanted)
        found = self._forward(slopes)
        off = np.abs((found - wanted) * self.intrinsics[:2]).max(axis=-1)
        seen = (off < _SAME_PX) & (np.linalg.norm(slopes, axis=-1) <= self._limit)
        rays = np.concatenate([slopes, np.ones((len(slopes), 1))], axis=-1)
        return np.where(seen[:, None], rays, np.inf).reshape(*pixels.shape[:-1], 3)

    def pixels(self, rays: np.ndarray) -> np.ndarray:
        slopes = _slopes(rays)
        flat = slopes.reshape(-1, 2)
        seen = np.linalg.norm(flat, axis=-1) <= self._limit  # False for NaN, too
        found = self._forward(np.where(seen[:, None], flat, 0.0)) * self.intrinsics[:2] + self.intrinsics[2:]
        return np.where(seen[:, None], found, np.nan).reshape(slopes.shape)

    def scaled(self, sx: float, sy: float) -> "OpenCVLens":
        return dataclasses.replace(self, intrinsics=scaled_intrinsics(self.intrinsics, sx, sy))

    def cut(self, left: float, top: float) -> "OpenCVLens":
        return dataclasses.replace(self, intrinsics=cut_intrinsics(self.intrinsics, left, top))

    def to_json(self) -> dict[str, Any]:
        return {
            "model": "fisheye" if self.fisheye else "opencv",
            "intrinsics": self.intrinsics.tolist(),
            "distortion": list(self.distortion),
        }

    def _forward(self, slopes: np.ndarray) -> np.ndarray:
        """Distorted coordinates [N, 2] of slopes [N, 2]."""
        points = np.concatenate([slopes, np.ones((len(slopes), 1))], axis=-1)[:, None]
        if not len(points):
            return slopes
        nothing, matrix = np.zeros(3), np.eye(3)
        project = cv2.fisheye.projectPoints if self.fisheye else cv2.projectPoints
        return project(points, nothing, nothing, matrix, np.asarray(self.distortion))[0][:, 0]

    @functools.cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """Distorted radius by the length of the slope, as far as it grows: beyond that the polynomial folds back."""
        slope = np.tan(np.linspace(0.0, np.arctan(_WIDEST), _SAMPLES))
        if self.fisheye:
            theta = np.arctan(slope)
            distorted = theta * np.polynomial.polynomial.polyval(theta**2, (1.0, *self.distortion))
        else:
            k1, k2, _, _, k3, k4, k5, k6 = (*self.distortion, *(0.0,) * 8)[:8]
            square = slope**2
            above = np.polynomial.polynomial.polyval(square, (1.0, k1, k2, k3))
            below = np.polynomial.polynomial.polyval(square, (1.0, k4, k5, k6))
            with np.errstate(divide="ignore", invalid="ignore"):
                distorted = slope * above / below
        grows = np.diff(distorted) > 0  # False for NaN, too
        count = len(slope) if grows.all() else int(np.argmin(grows)) + 1
        return slope[:count], distorted[:count]

    @property
    def _limit(self) -> float:
        return float(self._table[0][-1])

    def _undistorted(self, wanted: np.ndarray) -> np.ndarray:
        """Slopes [N, 2] of distorted coordinates [N, 2]: the radial table, then Newton for the nonradial part."""
        slope, distorted = self._table
        radius = np.linalg.norm(wanted, axis=-1, keepdims=True)
        start = wanted / np.maximum(radius, 1e-12) * np.interp(radius, distorted, slope)
        if self.fisheye:
            # The table's steps are fine, but not exact: Newton along the radius, d theta_d / d theta = 1 + 3 k1 theta^2
            theta, k = np.arctan(np.linalg.norm(start, axis=-1, keepdims=True)), (1.0, *self.distortion)
            for _ in range(3):
                value = theta * np.polynomial.polynomial.polyval(theta**2, k) - radius
                steep = np.polynomial.polynomial.polyval(theta**2, [c * (2 * i + 1) for i, c in enumerate(k)])
                theta = theta - value / np.maximum(steep, 1e-6)
            return wanted / np.maximum(radius, 1e-12) * np.tan(np.clip(theta, 0.0, np.arctan(slope[-1])))
        found, step = start, 1e-6
        right, down = np.array([step, 0.0]), np.array([0.0, step])
        for _ in range(_NEWTON_STEPS):
            here = self._forward(found)
            along_x = (self._forward(found + right) - here) / step
            along_y = (self._forward(found + down) - here) / step
            miss = wanted - here
            determinant = along_x[:, 0] * along_y[:, 1] - along_x[:, 1] * along_y[:, 0]
            determinant = np.where(np.abs(determinant) > 1e-9, determinant, np.inf)
            move = np.stack(
                [
                    (miss[:, 0] * along_y[:, 1] - miss[:, 1] * along_y[:, 0]) / determinant,
                    (miss[:, 1] * along_x[:, 0] - miss[:, 0] * along_x[:, 1]) / determinant,
                ],
                axis=-1,
            )
            found = found + np.clip(move, -0.2, 0.2)
            if np.abs(move).max(initial=0.0) < 1e-12:
                break
        return found


@dataclasses.dataclass(frozen=True)
class ScaramuzzaCamera(Lens):
    """Parameters in pixels of a `width` x `height` image; `polynomial` is a0, a1, ... of the ray's z over the radius.

    A pixel (u, v) looks along the ray (x, y, a0 + a2 r^2 + a3 r^3 + a4 r^4) with (x, y) = A^-1 (u - cx, v - cy),
    A = [[c, d], [e, 1]] and r^2 = x^2 + y^2.
    """

    width: int
    height: int
    cx: float
    cy: float
    polynomial: tuple[float, ...]
    c: float
    d: float
    e: float

    @property
    def intrinsics(self) -> np.ndarray:  # type: ignore[override]
        return np.array([self.polynomial[0] * self.c, self.polynomial[0], self.cx, self.cy])

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        affine = np.array([[self.c, self.d], [self.e, 1.0]])
        xy = (np.asarray(pixels, np.float64) - (self.cx, self.cy)) @ np.linalg.inv(affine).T
        z = np.polynomial.polynomial.polyval(np.linalg.norm(xy, axis=-1), self.polynomial)
        rays = np.concatenate([xy, z[..., None]], axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(z[..., None] > 0, rays / z[..., None], np.inf)

    def pixels(self, rays: np.ndarray) -> np.ndarray:
        """As `Lens.pixels`; inverts r / z(r) with a fine table."""
        radius = np.linspace(0.0, np.hypot(self.width, self.height), _SAMPLES)
        z = np.polynomial.polynomial.polyval(radius, self.polynomial)
        forward = np.argmax(z <= 0) or len(z)
        tangent = radius[:forward] / z[:forward]
        monotonic = np.argmax(np.diff(tangent) <= 0) or forward
        slope = _slopes(rays)
        length = np.linalg.norm(slope, axis=-1, keepdims=True)
        found = np.interp(length, tangent[:monotonic], radius[:monotonic], right=np.nan)
        xy = slope * found / np.maximum(length, 1e-12)
        return xy @ np.array([[self.c, self.d], [self.e, 1.0]]).T + (self.cx, self.cy)

    def resized(self, width: int, height: int) -> "ScaramuzzaCamera":
        """Returns the camera for images resized to `width` x `height`.

        Radii and z scale together by s: a0 s, a2 / s, a3 / s^2, ...; unequal scales go into the affine part.
        """
        return dataclasses.replace(self.scaled(width / self.width, height / self.height), width=width, height=height)

    def scaled(self, sx: float, sy: float) -> "ScaramuzzaCamera":
        return dataclasses.replace(
            self,
            width=round(self.width * sx),
            height=round(self.height * sy),
            cx=resized_pixels(self.cx, sx),
            cy=resized_pixels(self.cy, sy),
            polynomial=tuple(a * sy ** (1 - k) for k, a in enumerate(self.polynomial)),
            c=self.c * sx / sy,
            d=self.d * sx / sy,
        )

    def cut(self, left: float, top: float) -> "ScaramuzzaCamera":
        return dataclasses.replace(self, cx=self.cx - left, cy=self.cy - top)

    def to_json(self) -> dict[str, Any]:
        return {"model": "omnidirectional", **dataclasses.asdict(self), "polynomial": list(self.polynomial)}


def lens_from_json(values: dict[str, Any]) -> Lens:
    """Returns the lens for which `Lens.to_json` returned `values`."""
    values = dict(values)
    model = values.pop("model")
    if model == "omnidirectional":
        return ScaramuzzaCamera(**values | {"polynomial": tuple(values["polynomial"])})
    intrinsics = np.asarray(values["intrinsics"], np.float64)
    if model == "pinhole":
        return Pinhole(intrinsics)
    return OpenCVLens(intrinsics, tuple(values["distortion"]), fisheye=model == "fisheye")


def lens_of(intrinsics: np.ndarray, distortion: tuple[float, ...], fisheye: bool) -> Lens:
    """Returns OpenCV's camera, or a pinhole if it has no distortion.

    Raises:
      ValueError: OpenCV has no model with this number of coefficients.
    """
    if not fisheye and not any(distortion):
        return Pinhole(intrinsics)
    return OpenCVLens(intrinsics, tuple(float(k) for k in distortion), fisheye)


def lens_of_colmap(model: str, parameters: np.ndarray) -> Lens:
    """Returns the lens of one of COLMAP's models; its pixel centres at half-integers are moved to integers.

    Raises:
      UserError: the model is unknown, or the number of parameters is wrong.
    """
    if model not in _COLMAP:
        raise UserError(f"camera model {model}; known are {', '.join(COLMAP_MODELS)}")
    places, fisheye, coefficients, count = _COLMAP[model]
    if len(parameters) != count:
        raise UserError(f"{model} with {len(parameters)} parameters; it has {count}")
    intrinsics = np.asarray(parameters, np.float64)[list(places)] - (0, 0, 0.5, 0.5)
    distortion = tuple(0.0 if at is None else float(parameters[at]) for at in coefficients)
    return lens_of(intrinsics, distortion, fisheye)


def _slopes(rays: np.ndarray) -> np.ndarray:
    return np.asarray(rays[..., :2], np.float64) / rays[..., 2:]
