"""Adjusts a tracked path to the points tracked along it, segment by segment."""

import dataclasses

import numpy as np

from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.reconstruction.align import rigid_exactly
from endodav_jax.reconstruction.bundle import Bundle, Observed, adjust
from endodav_jax.reconstruction.clip import CameraPath, Clip, track_clip
from endodav_jax.reconstruction.config import FREE_SCALE
from endodav_jax.reconstruction.followed import FollowedPoints
from endodav_jax.reconstruction.tracker import Tracked, TrackingRules, weighed_ratios

STRETCH = 80  # frames adjusted together; memory does not grow with the clip
ADVANCE = 40  # frames from one segment to the next
HELD = 20  # frames of the previous segment that stay fixed; those after them are adjusted again
PASSES = 2  # from a path that was tracked badly the first may end in a wrong minimum, which the second leaves
FEWEST = 10  # points that a frame must see; otherwise it keeps its motion from the previous frame
RIGID = 0.003  # relative difference of depth between frames below which depth is treated as one rigid surface
CELLS = 8  # a side of a frame, over which the median of what depth is off by is taken
MOST_DEVIATION = 0.15  # of a cell's log depth, that of a network's: a cell less sure than that says nothing
SCALE_DEVIATION = 0.2  # of the log scale of a frame's depth relative to the clip's


def followed_path(clip: Clip, intrinsics: np.ndarray) -> tuple[CameraPath, FollowedPoints]:
    """Returns the path of a clip whose depth need not agree from frame to frame, and the points it was adjusted to.

    Raises:
      UserError: fewer than two frames, or no depth anywhere in the first ones.
    """
    points = FollowedPoints()
    tracked = track_clip(clip, intrinsics, TrackingRules(scale_sigma=FREE_SCALE), points=points)
    return refined_path(tracked, points), points


def refined_path(path: CameraPath, points: FollowedPoints) -> CameraPath:
    """Returns the path with every piece adjusted, and what its points say about each frame's depth (`triangulated`).

    Frames and pieces stay the same.  A piece whose depth agrees from frame to frame, as true depth does and a network's
    never did (0.0005 and 0.008 to 0.017 were measured), keeps its path and unit: its surfaces say more about the camera
    than points do.

    Args:
      path: as tracked, in the depth's unit.
      points: tracked through all of these frames, in order.
    """
    observed = points.observations()
    frames = list(path.frames)
    for piece in path.pieces:
        places = [place for place, frame in enumerate(frames) if frame.piece == piece]
        if len(places) > 2:
            hold = _rigid([frames[place].difference for place in places])
            for _ in range(1 if hold else PASSES):
                for place, frame in zip(places, _refined(frames, places, observed, points, hold), strict=True):
                    frames[place] = frame
    return dataclasses.replace(path, frames=tuple(frames))


def _refined(frames: list[Tracked], places: list[int], observed, points: FollowedPoints, hold: bool) -> list[Tracked]:
    """The frames of a piece, adjusted; with `hold`, only the points are adjusted."""
    order = np.full(len(frames), -1)
    order[places] = np.arange(len(places))
    within = order[observed[0]] >= 0
    frame, name, pixels, depth = (part[within] for part in observed)
    frame = order[frame]
    start = np.stack([np.asarray(frames[place].cam_from_world) for place in places])
    poses, scales = start.copy(), np.zeros(len(places))
    good = np.bincount(frame, minlength=len(places)) >= FEWEST
    good[0] = True
    told: list[np.ndarray | None] = [None] * len(places)
    begin = 0
    while True:
        end = min(begin + STRETCH, len(places))
        held = begin + HELD if begin else 1
        _carry(poses, start, max(held, begin + STRETCH - ADVANCE if begin else 1), end)
        stretch = begin + np.flatnonzero(good[begin:end])
        inside = np.isin(frame, stretch)
        seen = Observed.of(
            np.searchsorted(stretch, frame[inside]), name[inside], pixels[inside], depth[inside], points.intrinsics
        )
        fixed = np.full(len(stretch), True) if hold else stretch < held
        if len(stretch) > 2 and fixed.any() and (hold or not fixed.all()) and len(seen.frame) > 7 * len(stretch):
            found = adjust(poses[stretch], scales[stretch], fixed, seen, SCALE_DEVIATION)
            poses[stretch] = found.cam_from_world
            scales[stretch[~fixed]] = found.log_scales[~fixed]
            if not begin:
                scales[0] = found.log_scales[0]
            for number, place in enumerate(stretch):
                if place >= held or not begin:
                    told[place] = _told_by_points(seen, found, number, points.size)
            left = np.setdiff1d(np.arange(held, end), stretch)
            for place in left:
                _carry(poses, start, place, place + 1)
                scales[place] = scales[place - 1]
        if end == len(places):
            break
        begin += ADVANCE
    unit = centre_ratios(told)
    if hold:
        return [dataclasses.replace(frames[place], triangulated=rows) for place, rows in zip(places, told, strict=True)]
    # Points leave the unit of the path nearly free; it becomes the one in which depth is right in the median.
    poses[:, :3, 3] *= np.exp(-unit)
    scales -= unit
    return [
        dataclasses.replace(
            frames[place], cam_from_world=rigid_exactly(pose), scale=float(np.exp(scale)), triangulated=rows
        )
        for place, pose, scale, rows in zip(places, poses, scales, told, strict=True)
    ]


def _told_by_points(seen: Observed, found: Bundle, frame: int, size: tuple[int, int]) -> np.ndarray:
    """`Tracked.triangulated` of a frame, before the piece's median is subtracted."""
    later = np.flatnonzero((seen.frame == frame) & np.isfinite(found.ratios))
    new = np.flatnonzero(seen.first == frame)
    pixels = np.concatenate([seen.pixels[later], seen.rays[new, :2] * seen.intrinsics[:2] + seen.intrinsics[2:]])
    ratios = np.concatenate([found.ratios[later], found.log_depths[new] - seen.log_depths[new]])
    deviations = found.deviations[np.concatenate([seen.point[later], new])]
    return np.column_stack([(pixels + 0.5) / size[::-1], ratios, deviations]).astype(np.float32)


def centre_ratios(told: list[np.ndarray | None]) -> float:
    """Subtracts from a piece's log ratios, in place, what depth is off by in the median of the view; returns that.

    The median is over cells of the frames, so that it is one of areas: points are more, and surer, where tissue is near
    or rich in texture.  A cell has the mean of its points, weighted by what parallax says about them.
    """
    known = [rows for rows in told if rows is not None and len(rows)]
    if not known:
        return 0.0
    means, weights = (np.concatenate(part) for part in zip(*map(_by_cell, known), strict=True))
    sure = weights >= min(1 / MOST_DEVIATION**2, weights.max())
    middle = float(np.median(means[sure]))
    for rows in known:
        rows[:, 2] -= middle
    return middle


def _by_cell(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean log ratio of the points in each cell of a frame that has any, and their weight."""
    columns, lines = np.clip((rows[:, :2] * CELLS).astype(int), 0, CELLS - 1).T
    place, (ratios, weight) = CELLS * lines + columns, weighed_ratios(rows)
    heap, total = (np.bincount(place, values, CELLS**2) for values in (weight * ratios, weight))
    seen = total > 0
    return heap[seen] / total[seen], total[seen]


def _rigid(differences: list[float]) -> bool:
    known = [difference for difference in differences if np.isfinite(difference)]
    return bool(known) and float(np.median(known)) < RIGID


def _carry(poses: np.ndarray, start: np.ndarray, begin: int, end: int) -> None:
    """Continues from the pose before `begin` with the tracked motions."""
    for place in range(begin, end):
        poses[place] = start[place] @ inverse_rigid(start[place - 1]) @ poses[place - 1]
