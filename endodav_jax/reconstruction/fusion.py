"""The second pass over a clip: confidence of each depth map, and fusion into one surface."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.reconstruction.clip import CameraPath, Clip, DepthView
from endodav_jax.reconstruction.confidence import OFFSETS, UNSEEN_ERROR, ConfidenceModel, measure
from endodav_jax.reconstruction.tracker import Tracked
from endodav_jax.reconstruction.views import GRAZING, pixel_rays, surface_normals
from endodav_jax.reconstruction.volume import FusedVolume, default_voxel

MOST_PIXELS = 120_000  # larger frames are halved before they are fused

OnFrame = Callable[[DepthView, Tracked, np.ndarray], object]


def fuse_clip(
    clip: Clip,
    path: CameraPath,
    model: ConfidenceModel | None = None,
    *,
    voxel: float = 0.0,
    most_bytes: int = 1_000_000_000,
    on_frame: OnFrame = lambda view, tracked, error: None,
) -> dict[int, FusedVolume]:
    """Fuses every frame that has a pose, weighted by confidence and viewing angle.

    Args:
      clip: frames with their depth.
      path: their poses.
      model: of confidence; None gives all depth the same weight.
      voxel: side of a voxel in the depth's unit; 0 chooses one from the first frame (see `default_voxel`).
      most_bytes: memory limit for all pieces together.
      on_frame: called with each frame, its entry in the path, and the expected relative error float32 [H,W], which is
        `UNSEEN_ERROR` where there is no depth.

    Returns:
      The volume of each piece, the longest first.
    """
    pieces = path.pieces
    volumes: dict[int, FusedVolume] = {}
    for view, tracked, neighbours in with_neighbours(clip(), path.frames):
        tissue = view.tissue()
        error = np.zeros(view.depth.shape, np.float32)
        if model is not None:
            error = model.expected_error(measure(view, neighbours, path.intrinsics, tracked.triangulated))
            error[~(view.inside & (view.depth > 0))] = UNSEEN_ERROR
        on_frame(view, tracked, error)
        if tracked.piece < 0 or not tissue.any():
            continue
        intrinsics = path.intrinsics
        depth, rgb = view.depth * np.float32(tracked.scale), view.rgb
        if depth.size > MOST_PIXELS:
            depth, rgb, tissue, error, intrinsics = _halved(depth, rgb, tissue, error, intrinsics)
        if tracked.piece not in volumes:
            size = voxel or default_voxel(np.where(tissue, depth, 0), intrinsics)
            # The memory is divided in proportion to the number of frames of the pieces.
            share = len(path.of_piece(tracked.piece)) / sum(len(path.of_piece(piece)) for piece in pieces)
            volumes[tracked.piece] = FusedVolume(size, max(int(most_bytes * share), 16_000_000))
        weight, cosine = fusion_weights(depth, tissue, error, intrinsics)
        volumes[tracked.piece].integrate(depth, rgb, weight, cosine, intrinsics, tracked.cam_from_world)
    return {piece: volumes[piece] for piece in pieces if piece in volumes}


def fusion_weights(
    depth: np.ndarray, tissue: np.ndarray, error: np.ndarray, intrinsics: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weight of each pixel and the cosine of its viewing angle, float32 [H,W] each.

    The weight is the cosine times the squared ratio of the frame's typical error to the pixel's own.
    """
    rays = pixel_rays(depth.shape, intrinsics)
    known = np.where(tissue, depth, 0).astype(np.float32)
    normals, smooth = surface_normals(rays * known[..., None], known)
    cosine = -(normals * rays).sum(-1) / np.linalg.norm(rays, axis=-1)
    used = tissue & smooth & (cosine > GRAZING)
    usual = float(np.median(error[used])) if used.any() else 0.0
    trust = np.minimum(1.0, (usual / np.maximum(error, 1e-6)) ** 2) if usual > 0 else np.ones_like(error)
    return np.where(used, cosine * trust, 0).astype(np.float32), cosine.astype(np.float32)


def with_neighbours(views: Iterable[DepthView], frames: tuple[Tracked, ...]) -> Iterator[tuple]:
    """Yields (view, tracked, neighbours with their motion), keeping only the frames needed in memory."""
    reach = max(OFFSETS)
    held: collections.deque[tuple[DepthView, Tracked]] = collections.deque(maxlen=2 * reach + 1)
    stream = zip(views, frames, strict=True)
    place = -1  # of the current frame in `held`
    ended = False
    while True:
        while not ended and len(held) - 1 - place < reach + 1:
            item = next(stream, None)
            if item is None:
                ended = True
                break
            if len(held) == held.maxlen:
                place -= 1
            held.append(item)
        place += 1
        if place >= len(held):
            return
        view, tracked = held[place]
        neighbours = []
        if tracked.piece >= 0:
            for offset in OFFSETS:
                if not 0 <= place + offset < len(held):
                    continue
                other, there = held[place + offset]
                if there.piece == tracked.piece:
                    motion = there.pose @ inverse_rigid(tracked.pose)
                    neighbours.append((_scaled(other, there.scale / tracked.scale), _shrunk(motion, tracked.scale)))
        yield view, tracked, neighbours


def _scaled(view: DepthView, factor: float) -> DepthView:
    return view if factor == 1 else dataclasses.replace(view, depth=view.depth * np.float32(factor))


def _shrunk(motion: np.ndarray, scale: float) -> np.ndarray:
    """The motion in the unit of a frame whose depth is multiplied by `scale`."""
    motion = motion.copy()
    motion[:3, 3] /= scale
    return motion


def _halved(depth, rgb, tissue, error, intrinsics):
    """Every second pixel of the maps, with colours averaged; pixel centres are preserved."""
    reduced = cv2.blur(rgb, (2, 2))[::2, ::2]
    return depth[::2, ::2], reduced, tissue[::2, ::2], error[::2, ::2], np.asarray(intrinsics) / 2
