"""Measurements of a clip's scale from points, from a tracked endoscope, and from a known length."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float64, Real, UInt8

from endodav_jax.data.registration import followed_corners
from endodav_jax.data.sources.geometry_files import read_geometry_npz
from endodav_jax.data.sources.trajectories import poses_as_written, read_trajectory
from endodav_jax.errors import UserError
from endodav_jax.files import read_text
from endodav_jax.geometry.pixels import resized_pixels
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.scale.request import KnownLength

NEAR = 2  # radius in pixels around an end of a known length in which depths are used
SPANS = (2, 4, 8, 16)  # frames between the two views of a point
LEAST_ANGLE = np.radians(2.0)  # minimum angle between the two rays to a point; below it, noise exceeds parallax
REPROJECTION = 0.75  # maximum reprojection error of a point in pixels
THERE_AND_BACK = 0.5  # maximum error in pixels of a feature followed forth and back
FEWEST_POINTS = 12


@dataclasses.dataclass(frozen=True)
class ScaleFrame:
    """A frame with depth, as measurements need it.

    Attributes:
      index: frame number in the source.
      rgb: uint8 [H,W,3].
      depth: float32 [H,W], up to scale, 0 where unknown.
    """

    index: int
    rgb: np.ndarray
    depth: np.ndarray


def depth_at(
    depth: Float[np.ndarray, "H W"], u: Real[np.ndarray, "P"], v: Real[np.ndarray, "P"]
) -> Float64[np.ndarray, "P"]:
    """Returns depth [P] at pixels, interpolated linearly in inverse depth; nan next to unknown depth."""
    known = depth > 0
    inverse = np.where(known, 1 / np.where(known, depth, 1), np.nan).astype(np.float32)
    columns, rows = (np.asarray(axis, np.float32)[:, None] for axis in (u, v))
    if not len(columns):
        return np.zeros(0)
    sampled = cv2.remap(inverse, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan)
    return 1 / sampled[:, 0].astype(np.float64)


def read_points(path: Path) -> dict[int, np.ndarray]:
    """Reads points of known depth: frame -> float64 [n,3] of u, v (pixels of the source) and z in mm.

    Text: lines of `frame u v z`; .npz: `sparse_depth`, rows of (frame, point, u, v, z).

    Raises:
      UserError: invalid form, or depth that is not positive.
    """
    if path.suffix.lower() == ".npz":
        points = read_geometry_npz(path, frames=None).points
        if points is None:
            raise UserError(f"--scale points {path}: has no `sparse_depth` (rows of frame, point, u, v, z)")
        return points
    text = read_text(path, "expected lines of frame, u, v, z in mm", f"--scale points {path}")
    lines = [line for line in text.splitlines() if line.split("#")[0].strip()]
    if not lines:
        raise UserError(f"--scale points {path}: has no measurements; expected lines of frame, u, v, z in mm")
    try:
        rows = np.loadtxt(lines, delimiter="," if "," in lines[0] else None, ndmin=2)
    except ValueError as error:
        raise UserError(f"--scale points {path}: not numbers; expected lines of frame, u, v, z in mm") from error
    if rows.shape[1] != 4:
        raise UserError(f"--scale points {path}: {rows.shape[1]} numbers per line; expected 4: frame, u, v, z in mm")
    if not np.isfinite(rows).all():
        raise UserError(f"--scale points {path}: a number is not finite; expected frame, u, v, z in mm")
    if not (rows[:, 0] == np.maximum(np.floor(rows[:, 0]), 0)).all():
        raise UserError(f"--scale points {path}: a frame's number is not 0, 1, 2, ...; expected frame, u, v, z in mm")
    if not (rows[:, 3] > 0).all():
        raise UserError(f"--scale points {path}: a depth is not positive; z is in mm in front of the camera")
    return {int(frame): rows[rows[:, 0] == frame][:, 1:] for frame in np.unique(rows[:, 0])}


def ratios_of_points(
    frames: Iterable[ScaleFrame], points: dict[int, np.ndarray], resized: tuple[float, float]
) -> dict[int, np.ndarray]:
    """Returns frame -> mm over depth at its points.

    Args:
      frames: with depth.
      points: see `read_points`.
      resized: (vertical, horizontal) size of the frames over that of the source.
    """
    found = {}
    for frame in frames:
        rows = points.get(frame.index)
        if rows is not None:
            u, v = resized_pixels(rows[:, 0], resized[1]), resized_pixels(rows[:, 1], resized[0])
            found[frame.index] = rows[:, 2] / depth_at(frame.depth, u, v)
    return found


def ratios_of_length(
    frames: Iterable[ScaleFrame], known: KnownLength, intrinsics: np.ndarray, resized: tuple[float, float]
) -> dict[int, np.ndarray]:
    """Returns frame -> mm divided by the distance of the two pixels, once for each pair of depths around them.

    Raises:
      UserError: there is no such frame, a pixel is outside it, or has no depth.
    """
    for frame in frames:
        if frame.index == known.frame:
            ends = [
                _points_about(frame.depth, resized_pixels(x, resized[1]), resized_pixels(y, resized[0]), intrinsics)
                for x, y in (known.first, known.second)
            ]
            distances = np.linalg.norm(ends[0][:, None] - ends[1][None], axis=-1).ravel()
            return {frame.index: known.mm / distances[distances > 0]}
    raise UserError(f"--scale length: there is no frame {known.frame} in the clip; name one of those that are read")


def check_points(path: Path, size: tuple[int, int]) -> None:
    """Checks a file of points: its form, and that all of them lie in the frame, of (height, width).

    Those outside would be left out, and the rest of a file for frames of another size is measured at wrong places.

    Raises:
      UserError: one does not, or see `read_points`.
    """
    height, width = size
    for frame, rows in read_points(path).items():
        u, v = rows[:, 0], rows[:, 1]
        outside = ~((u >= -0.5) & (u <= width - 0.5) & (v >= -0.5) & (v <= height - 0.5))
        if outside.any():
            x, y = rows[outside.argmax(), :2]
            raise UserError(
                f"--scale points {path}: pixel {x:.0f},{y:.0f} of frame {frame} is outside the {width}x{height} frame; "
                "give pixels of the source, of one view"
            )


def check_pixels(known: KnownLength, size: tuple[int, int]) -> None:
    """Checks that both ends of a known length lie in the frame, of (height, width).

    Raises:
      UserError: one does not.
    """
    height, width = size
    for x, y in (known.first, known.second):
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            raise UserError(f"--scale length: pixel {x:.0f},{y:.0f} is outside the {width}x{height} frame")


def read_poses(path: Path, indices: list[int], whole: int | None = None) -> np.ndarray:
    """Reads `world_from_cam` in mm, float64 [N,4,4], nan for frames without a pose.

    Args:
      path: of the file.
      indices: numbers of the N frames.
      whole: number of frames of the recording, of which those may be a part: as many poses are those of all of them.

    Raises:
      UserError: see `read_trajectory`, or fewer than two frames have one.
    """
    written, times = poses_as_written(path)
    if len(written) > len(indices) and times is not None and set(indices) <= set(times.tolist()):
        poses = written[[times.tolist().index(index) for index in indices]]
    elif len(written) == whole and whole > max(indices):
        poses = written[indices]
    else:
        poses = read_trajectory(path, indices)
    if np.isfinite(poses[:, 0, 0]).sum() < 2:
        raise UserError(f"--scale poses {path}: fewer than two frames of the clip have a pose")
    return poses


def ratios_of_poses(
    frames: Iterable[ScaleFrame], world_from_cam: np.ndarray, intrinsics: np.ndarray
) -> dict[int, np.ndarray]:
    """Returns frame -> mm divided by depth at points triangulated from two known poses.

    Features are tracked until their two rays differ enough, so neither the network's motion nor an estimated path is
    needed.

    Args:
      frames: with depth, as many as there are poses.
      world_from_cam: float64 [N,4,4], mm; nan where it is not known.
      intrinsics: [4].
    """
    found: dict[int, list[np.ndarray]] = {}
    for first, second, pose, other in _pairs(frames, world_from_cam):
        start, end = followed_features(first.rgb, second.rgb, first.depth > 0)
        if len(start) < FEWEST_POINTS:
            continue
        z, good = triangulated(start, end, inverse_rigid(other) @ pose, intrinsics)
        depth = depth_at(first.depth, *start.T)
        good &= np.isfinite(depth)
        if good.sum() >= FEWEST_POINTS:
            found.setdefault(first.index, []).append(z[good] / depth[good])
    return {index: np.concatenate(parts) for index, parts in found.items()}


def triangulated(
    start: np.ndarray, end: np.ndarray, second_from_first: np.ndarray, intrinsics: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the depth of points in the first camera, [P], and which are reliable, bool [P].

    z R r₁ + t is parallel to r₂: z = -(a·b)/(a·a) with a = R r₁ × r₂ and b = t × r₂.
    """
    fx, fy, cx, cy = intrinsics
    rays = [np.column_stack([(p[:, 0] - cx) / fx, (p[:, 1] - cy) / fy, np.ones(len(p))]) for p in (start, end)]
    turned = rays[0] @ second_from_first[:3, :3].T
    shift = second_from_first[:3, 3]
    a, b = np.cross(turned, rays[1]), np.cross(shift[None], rays[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = -(a * b).sum(1) / (a * a).sum(1)
        there = z[:, None] * turned + shift
        seen = there[:, :2] / there[:, 2:] * (fx, fy) + (cx, cy)
    miss = np.linalg.norm(seen - end, axis=1)
    # The parallax angle: the component of the translation across the ray, divided by the distance.
    angle = np.linalg.norm(np.cross(shift[None], there), axis=1) / np.maximum((there**2).sum(1), 1e-12)
    return z, (z > 0) & (there[:, 2] > 0) & (miss < REPROJECTION) & (angle > LEAST_ANGLE)


def followed_features(
    first: UInt8[np.ndarray, "H W 3"], second: UInt8[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"]
) -> tuple[Float64[np.ndarray, "P 2"], Float64[np.ndarray, "P 2"]]:
    """Returns pixels (x, y) of features in two frames, float64 [P,2] each, tracked forth and back.

    Args:
      first, second: uint8 [H,W,3].
      known: bool [H,W], where features of the first may lie.
    """
    equalise = cv2.createCLAHE(2.0, (8, 8))
    before, now = (equalise.apply(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)) for rgb in (first, second))
    mask = cv2.erode(known.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0)
    window = 2 * max(4, min(known.shape) // 20) + 1
    start, end, good = followed_corners(before, now, mask, window=window, miss=THERE_AND_BACK)
    return start[good], end[good]


def _pairs(frames: Iterable[ScaleFrame], poses: np.ndarray) -> Iterator[tuple]:
    """Yields (first, second, their poses), the second being the first one taken far enough away."""
    held: list[tuple[int, ScaleFrame]] = []
    for number, frame in enumerate(frames):
        if not np.isfinite(poses[number]).all():
            continue
        kept = []
        for before, first in held:
            baseline = np.linalg.norm(poses[number][:3, 3] - poses[before][:3, 3])
            span = number - before
            # The unit is not known yet: try each span, and select by the angle.
            if span in SPANS and baseline > 0:
                yield first, frame, poses[before], poses[number]
            if span < SPANS[-1]:
                kept.append((before, first))
        held = kept
        if number % 5 == 0:
            held.append((number, frame))


def _points_about(depth: np.ndarray, x: float, y: float, intrinsics: np.ndarray) -> np.ndarray:
    """Points of the pixel and its neighbours, [P,3], without outliers in depth."""
    v, u = np.mgrid[-NEAR : NEAR + 1, -NEAR : NEAR + 1].reshape(2, -1)
    z = depth_at(depth, x + u, y + v)
    if not np.isfinite(z).any():
        raise UserError(f"--scale length: depth is not known at pixel {x:.0f},{y:.0f}; choose another one")
    good = np.isfinite(z) & (np.abs(z / np.nanmedian(z) - 1) < 0.1)
    fx, fy, cx, cy = intrinsics
    # The end point, at each of the depths around it.
    return (
        np.stack([np.full(good.sum(), (x - cx) / fx), np.full(good.sum(), (y - cy) / fy), np.ones(good.sum())], -1)
        * z[good, None]
    )
