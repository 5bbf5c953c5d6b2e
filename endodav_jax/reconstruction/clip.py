"""The depth of a clip and its camera path, shared by tracking, fusion and confidence."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.reconstruction.followed import FollowedPoints
from endodav_jax.reconstruction.masks import highlights
from endodav_jax.reconstruction.tracker import CameraTracker, Tracked, TrackingRules
from endodav_jax.reconstruction.views import make_view, pixel_rays

FARTHEST = 5.0  # times the median depth; beyond it, a disparity near 0 carries no information about depth
PARALLAX_STEP = 10  # frame interval over which parallax is measured
LEAST_PARALLAX = 1.0  # pixels; below this the camera is considered to rotate only
PARALLAX_GRID = 16  # points per side of the grid for parallax


@dataclasses.dataclass(frozen=True)
class DepthView:
    """One frame with its depth.

    Attributes:
      index: frame number in the source.
      rgb: uint8 [H,W,3].
      depth: float32 [H,W], 0 where unknown.
      inside: bool [H,W]: in the view and not an instrument.
      window_difference: float32 [H,W], of the two windows with this frame (see `window_difference`);
        None if there is only one.
    """

    index: int
    rgb: np.ndarray
    depth: np.ndarray
    inside: np.ndarray
    window_difference: np.ndarray | None = None

    def tissue(self) -> np.ndarray:
        """Where depth is known and tissue is visible (no highlights, no outliers in depth), bool [H,W]."""
        known = self.inside & (self.depth > 0)
        if not known.any():
            return known
        return known & ~highlights(self.rgb) & (self.depth < FARTHEST * np.median(self.depth[known]))


Clip = Callable[[], Iterator[DepthView]]  # yields the frames afresh on every call


def window_difference(earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Returns the relative difference of a frame's disparity in two windows, [H,W], 1 at most."""
    return np.minimum(np.abs(earlier - later) / np.maximum(0.5 * (earlier + later), 1e-6), 1.0)


@dataclasses.dataclass(frozen=True)
class CameraPath:
    """The path of a clip, in the depth's unit.

    Attributes:
      frames: one for each frame of the clip, in order.
      intrinsics: float64 [4].
      parallax: relative motion of near and far points over `PARALLAX_STEP` frames, in pixels, maximum over the clip;
        a camera that only rotates has none and reveals no depth.  NaN if no two frames tell it.
    """

    frames: tuple[Tracked, ...]
    intrinsics: np.ndarray
    parallax: float

    @property
    def pieces(self) -> list[int]:
        """Numbers of the pieces, the longest first."""
        counts = collections.Counter(frame.piece for frame in self.frames if frame.piece >= 0)
        return [piece for piece, _ in counts.most_common()]

    def of_piece(self, piece: int) -> list[Tracked]:
        """The frames of a piece."""
        return [frame for frame in self.frames if frame.piece == piece]

    def lost(self) -> list[Tracked]:
        """The frames without a pose."""
        return [frame for frame in self.frames if frame.piece < 0]

    def world_from_cam(self, piece: int) -> np.ndarray:
        """Poses of a piece's frames, float64 [N,4,4]."""
        return inverse_rigid(np.stack([frame.pose for frame in self.of_piece(piece)]))

    def about(self, log_factor: float) -> "CameraPath":
        """The same path where depth was right in the median of the view and is now to be right elsewhere.

        Args:
          log_factor: added to the log ratios of `triangulated`, with which the path grows.
        """
        frames = []
        for frame in self.frames:
            pose, rows = frame.cam_from_world, frame.triangulated
            if pose is not None:
                pose = pose.copy()
                pose[:3, 3] *= np.exp(log_factor)
            if rows is not None:
                rows = rows + np.array([0, 0, log_factor, 0], np.float32)
            frames.append(dataclasses.replace(frame, cam_from_world=pose, triangulated=rows))
        return dataclasses.replace(self, frames=tuple(frames))

    def length(self, piece: int) -> float:
        """Length of the camera path in a piece."""
        places = self.world_from_cam(piece)[:, :3, 3]
        return float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())


def track_clip(
    clip: Clip,
    intrinsics: np.ndarray,
    rules: TrackingRules | None = None,
    motions: Sequence[np.ndarray] | None = None,
    on_frame: Callable[[], object] = lambda: None,
    points: FollowedPoints | None = None,
) -> CameraPath:
    """Tracks every frame of a clip.

    Args:
      clip: its frames.
      intrinsics: [4].
      rules: when a frame is lost.
      motions: `later_from_earlier` [4,4] from each frame to the next, in the depth's unit, predicted by a network.
      on_frame: called after each.
      points: also track points through the clip, for adjusting the path afterwards (see `refine`).

    Raises:
      UserError: fewer than two frames, or no depth anywhere in the first ones.
    """
    tracker = CameraTracker(rules)
    frames: list[Tracked] = []
    grids: collections.deque[tuple[Tracked, np.ndarray]] = collections.deque(maxlen=PARALLAX_STEP)
    unit, parallax = 0.0, np.nan
    for number, view in enumerate(clip()):
        tissue = view.tissue()
        if not unit and tissue.any():
            unit = float(np.median(view.depth[tissue]))
        prepared = make_view(view.index, view.rgb, view.depth, tissue, intrinsics, unit or 1.0)
        guess = None
        if motions is not None and number > 0:
            guess = motions[number - 1].copy()
            guess[:3, 3] /= unit or 1.0
        found = tracker.push(prepared, guess)
        if points is not None:
            points.push(prepared, unit or 1.0)
        frames.append(_in_unit(found, unit or 1.0))
        grids.append((frames[-1], _grid(view.depth, tissue, intrinsics)))
        first, grid = grids[0]
        parallax = float(np.fmax(parallax, _parallax(first, grid, frames[-1], intrinsics)))
        on_frame()
    if len(frames) < 2:
        raise UserError(f"the clip has {len(frames)} frame; a camera's path needs at least two")
    return CameraPath(tuple(frames), np.asarray(intrinsics, np.float64), parallax)


def chained_path(clip: Clip, intrinsics: np.ndarray, motions: Iterable[np.ndarray]) -> CameraPath:
    """The path obtained by chaining a network's motions."""
    poses = [np.eye(4)]
    for motion in motions:
        poses.append(motion @ poses[-1])
    return given_path(clip, intrinsics, poses)


def given_path(clip: Clip, intrinsics: np.ndarray, cam_from_world: Sequence[np.ndarray]) -> CameraPath:
    """A known path, in the depth's unit."""
    frames = tuple(
        Tracked(view.index, 0, pose, 1.0, number == 0, np.nan, np.nan, np.nan, "")
        for number, (view, pose) in enumerate(zip(clip(), cam_from_world, strict=True))
    )
    return CameraPath(frames, np.asarray(intrinsics, np.float64), np.nan)


def _in_unit(found: Tracked, unit: float) -> Tracked:
    if found.cam_from_world is None:
        return found
    pose = found.cam_from_world.copy()
    pose[:3, 3] *= unit
    return dataclasses.replace(found, cam_from_world=pose)


def _grid(depth: np.ndarray, tissue: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Some points of a frame in camera coordinates, [P,3]."""
    rows, columns = (slice(size // (2 * PARALLAX_GRID), None, max(1, size // PARALLAX_GRID)) for size in depth.shape)
    chosen = tissue[rows, columns]
    rays = pixel_rays(depth.shape, intrinsics)[rows, columns]
    return (rays * depth[rows, columns, None])[chosen].astype(np.float64)


def _parallax(first: Tracked, points: np.ndarray, second: Tracked, intrinsics: np.ndarray) -> float:
    """Spread in pixels of the motion due to translation, for points that a pure rotation would move alike.

    NaN where two frames do not tell it.
    """
    if first.index == second.index or first.piece < 0 or first.piece != second.piece or len(points) < 16:
        return np.nan
    motion = second.pose @ inverse_rigid(first.pose)
    turned = points @ motion[:3, :3].T
    moved = turned + motion[:3, 3]
    ahead = (turned[:, 2] > 0) & (moved[:, 2] > 0)
    if ahead.sum() < 16:
        return np.nan
    shift = (moved[ahead, :2] / moved[ahead, 2:] - turned[ahead, :2] / turned[ahead, 2:]) * intrinsics[:2]
    return float(np.median(np.linalg.norm(shift - np.median(shift, 0), axis=1)))
