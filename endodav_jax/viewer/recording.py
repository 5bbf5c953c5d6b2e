"""The contents of a page: frames with depth, a camera, and optionally its path and a surface."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

UP_TO_SCALE = "units (up to scale)"
LARGEST_SIDE = 480  # longer side of the frames shown, which a page can play


@dataclasses.dataclass(frozen=True)
class Unit:
    """The unit of lengths.

    Attributes:
      name: `mm`, `m`, or `units (up to scale)`.
      interval: (low, high) factors on lengths from the uncertainty of the scale; (1, 1) if unknown.
    """

    name: str = UP_TO_SCALE
    interval: tuple[float, float] = (1.0, 1.0)

    def text(self, length: float) -> str:
        """A length for display, with its interval if there is one."""
        low, high = (length * factor for factor in self.interval)
        between = f" ({low:.3g} to {high:.3g})" if low < high else ""
        return f"{length:.3g} {self.name}{between}"


@dataclasses.dataclass(frozen=True)
class View:
    """One frame, all maps of one size.

    Attributes:
      number: frame number in the source.
      rgb: uint8 [H,W,3].
      depth: float32 [H,W] in the recording's unit, 0 where missing.
      judged: float32 [H,W], relative error, expected or true; None if not known.
      truth: float32 [H,W] in the same unit as `depth`; None if not known.
    """

    number: int
    rgb: UInt8[np.ndarray, "H W 3"]
    depth: Float32[np.ndarray, "H W"]
    judged: Float32[np.ndarray, "H W"] | None = None
    truth: Float32[np.ndarray, "H W"] | None = None


class Recording(Protocol):
    """The contents of a page.

    Attributes:
      title: title of the page.
      notes: lines to show beside it.
      numbers: frame numbers.
      fps: playback rate.
      unit: unit of lengths.
      judged_name: meaning of `View.judged`: `expected error`, `error`, or empty.
      poses: world_from_cam float64 [4,4] of each frame, None if not known; all None without a path.
      surface: a `.glb` file's bytes in the unit's world, None without one.
    """

    title: str
    numbers: Sequence[int]
    fps: float
    unit: Unit
    judged_name: str
    surface: bytes | None

    @property
    def notes(self) -> Sequence[str]: ...

    @property
    def poses(self) -> Sequence[np.ndarray | None]: ...

    def view(self, place: int) -> View:
        """The frame at an index of `numbers`."""
        ...

    def intrinsics(self) -> np.ndarray:
        """(fx, fy, cx, cy) float64 in pixels of the views."""
        ...


def points_of(view: View, intrinsics: np.ndarray, most: int) -> tuple[Float32[np.ndarray, "P 3"], np.ndarray]:
    """Points of a view in its camera's coordinates (x right, y down, z forward), and their pixels' flat indices.

    Args:
      view: a view with depth.
      intrinsics: of its pixels.
      most: maximum number of points; pixels are skipped evenly.
    """
    height, width = view.depth.shape
    step = max(1, int(np.ceil(np.sqrt(height * width / most))))
    rows, columns = np.mgrid[0:height:step, 0:width:step]
    rows, columns = rows.ravel(), columns.ravel()
    depth = view.depth[rows, columns]
    known = depth > 0
    rows, columns, depth = rows[known], columns[known], depth[known]
    fx, fy, cx, cy = intrinsics
    points = np.stack([depth * (columns - cx) / fx, depth * (rows - cy) / fy, depth], -1)
    return points.astype(np.float32), rows * width + columns


def nearest_to_ray(points: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> int | None:
    """Index of the point meant by a click: the first within half a degree of the ray, else the nearest in angle.

    Returns None if nothing is within three degrees.
    """
    if not len(points):
        return None
    offset = points - origin
    along = offset @ (direction / np.linalg.norm(direction))
    across = np.sqrt(np.maximum((offset**2).sum(-1) - along**2, 0))
    angle = np.where(along > 0, np.arctan2(across, np.maximum(along, 1e-12)), np.inf)
    hit = angle < np.deg2rad(0.5)
    if hit.any():
        return int(np.flatnonzero(hit)[np.argmin(along[hit])])
    best = int(np.argmin(angle))
    return best if angle[best] < np.deg2rad(3) else None


def shown_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the views for frames of a given size."""
    factor = min(1.0, LARGEST_SIDE / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resized(image: np.ndarray, size: tuple[int, int], depth: bool = False) -> np.ndarray:
    """Resizes an image or a map to (height, width); depth uses the nearest pixel, to preserve edges."""
    if image.shape[:2] == size:
        return image
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_NEAREST if depth else cv2.INTER_AREA)
