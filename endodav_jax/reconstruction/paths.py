"""Camera paths through all videos of a prepared data set, for training (`data.camera_paths`)."""

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
from scipy import ndimage
from tqdm import tqdm

from endodav_jax.data.camera_paths import LOST, CameraPaths
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.data.prepared import PreparedSplit, digest_of_split, read_settings
from endodav_jax.files import sha256_of_arrays
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.reconstruction.clip import CameraPath, DepthView
from endodav_jax.reconstruction.refine import followed_path
from endodav_jax.reconstruction.steady import FARTHEST_POINT, FEWEST, UNCERTAIN, reliable, uncertainty
from endodav_jax.reconstruction.tracker import Tracked

_VIDEOS_AT_ONCE = 4  # at most: each is kept in memory as a whole
POINTS = 256  # of a frame, at most: the surest ones
_COMMON_DEVIATION = 0.01  # of a point's log depth: what its neighbours may have in common
_FARTHEST_FRAME = 2.0  # factor by which a frame's depth may be off its stretch; beyond it, its points told nothing


def solve_paths(
    split: PreparedSplit, model: DepthModelConfig, params: dict, image_shape: tuple[int, int]
) -> CameraPaths:
    """Tracks the camera through every sequence, and adjusts the path to points that were followed along it.

    Args:
      split: its frames have intrinsics.
      model, params: a depth network, whose depth need not be good: points get a depth of their own.
      image_shape: that the network sees.
    """
    videos = EvaluationVideos(split.folder, split.split)
    estimator = DepthEstimator(dataclasses.replace(model, image_shape=image_shape), params)

    def solved(sequence: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        views, intrinsics = _views(videos, sequence, estimator)
        path, followed = followed_path(views.__iter__, intrinsics)
        piece, level = _piece_and_level(path, views, reliable(path, followed))
        poses = np.stack([_pose(frame, number) for frame, number in zip(path.frames, piece, strict=True)])
        points = [_points(*frame) for frame in zip(path.frames, views, _sure(path, piece), strict=True)]
        return poses, piece, level, np.stack(points)

    found: list[tuple[np.ndarray, ...]] = []
    count = 0
    with ThreadPoolExecutor(min(_VIDEOS_AT_ONCE, os.cpu_count() or 1)) as pool:
        every = tqdm(pool.map(solved, videos.sequences), "camera paths", len(videos.sequences), unit="video")
        for poses, piece, levels, points in every:
            found.append((poses, np.where(piece == LOST, LOST, piece + count), levels, points))
            count += int(piece.max(initial=LOST)) + 1
    poses, pieces, levels, points = (np.concatenate(parts) for parts in zip(*found, strict=True))
    origin = origin_of(split, model, params, image_shape)
    return CameraPaths(poses, pieces.astype(np.int32), levels, points, digest_of_split(split), origin)


def origin_of(split: PreparedSplit, model: DepthModelConfig, params: dict, image_shape: tuple[int, int]) -> str:
    """Returns the SHA-256 of what `solve_paths` takes, by which a file of paths is known to be another's.

    Of the frames, the first of every sequence stands for all: a data set prepared anew, with another camera or other
    frames, may have the same names, lengths and bytes.
    """
    network = dataclasses.asdict(dataclasses.replace(model, image_shape=image_shape))
    about = {"network": network, "settings": read_settings(split.folder), "split": digest_of_split(split)}
    leaves = [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]
    firsts = split.records(split.offsets[:-1])
    frames = [np.frombuffer(record["frame"], np.uint8) for record in firsts]
    cameras = [np.asarray(record["intrinsics"]) for record in firsts]
    arrays = [*leaves, *(("record", array) for array in (*frames, *cameras))]
    return sha256_of_arrays(
        [(json.dumps(about, sort_keys=True), np.empty(0)), *((name, np.ascontiguousarray(a)) for name, a in arrays)]
    )


def _views(videos: EvaluationVideos, sequence: str, estimator: DepthEstimator) -> tuple[list[DepthView], np.ndarray]:
    """The frames of a sequence with the network's depth, and its intrinsics."""
    frames = list(videos.frames(sequence))
    mask = frames[0].view_mask
    found = estimator.iter_infer((frame.frame for frame in frames), view_mask=None if mask.all() else mask)
    views = []
    for number, disparity in found:
        depth = np.where(frames[number].counted & (disparity > 0), estimator.config.depth(disparity), 0)
        views.append(DepthView(number, frames[number].frame, depth.astype(np.float32), frames[number].counted))
    return views, np.asarray(frames[0].intrinsics, np.float64)


def _piece_and_level(path: CameraPath, views: list[DepthView], right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Piece and mean log depth of every frame.

    A frame counts as lost if its scale is far from its neighbours', if its path is not reliable, or if too few points
    were followed through it: its motion is then a guess, which is wrong by degrees where frames are far apart.
    """
    followed = [frame.triangulated is not None and len(frame.triangulated) >= FEWEST for frame in path.frames]
    piece = np.where(right & followed, [frame.piece for frame in path.frames], LOST)
    scale = np.log([frame.scale for frame in path.frames])
    known = [view.depth[view.depth > 0] for view in views]
    level = np.array([np.log(depth).mean() if len(depth) else np.nan for depth in known])
    for number in set(piece) - {LOST}:
        members = piece == number
        off = np.abs(scale - np.median(scale[members])) > np.log(_FARTHEST_FRAME)
        piece[members & (off | ~np.isfinite(level))] = LOST
    return piece, np.where(piece == LOST, 0.0, level + scale)


def _sure(path: CameraPath, piece: np.ndarray) -> np.ndarray:
    """Of which frames the points' depth is good enough to learn from, which takes more than a reliable path."""
    sure = piece != LOST
    for number in set(piece) - {LOST}:
        members = np.flatnonzero(piece == number)
        sure[members] = uncertainty([path.frames[i].triangulated for i in members])[0] < UNCERTAIN
    return sure


def _points(frame: Tracked, view: DepthView, known: bool) -> np.ndarray:
    """Places in the frame and their log depth in the path's unit; see `CameraPaths.points`."""
    points = np.zeros((POINTS, 4), np.float32)
    if not known or frame.triangulated is None or not len(frame.triangulated):
        return points
    x, y, ratios, deviations = frame.triangulated.T
    height, width = view.depth.shape
    x, y = x * width - 0.5, y * height - 0.5
    inside = ndimage.map_coordinates((view.depth > 0).astype(np.float32), (y, x), order=1, mode="nearest") > 0.99
    kept = np.flatnonzero(inside & (np.abs(ratios - np.median(ratios)) < FARTHEST_POINT))
    kept = kept[np.argsort(deviations[kept], kind="stable")][:POINTS]
    depth = ndimage.map_coordinates(view.depth, (y[kept], x[kept]), order=1, mode="nearest")
    told = np.log(depth * frame.scale) + ratios[kept]
    points[: len(kept)] = np.stack([x[kept], y[kept], told, 1 / np.maximum(deviations[kept], _COMMON_DEVIATION)], -1)
    return points


def _pose(frame, piece: int) -> np.ndarray:
    return np.full((4, 4), np.nan) if piece == LOST else np.asarray(frame.cam_from_world, np.float64)
