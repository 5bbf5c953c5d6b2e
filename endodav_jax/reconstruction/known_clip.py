"""A clip to reconstruct whose depth and camera are known, rendered or recorded, for benchmarks and fits."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.data.sources.base import SequenceSource
from endodav_jax.errors import UserError
from endodav_jax.evaluation.motion import MotionEstimator
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.reconstruction.clip import CameraPath, DepthView, chained_path, track_clip, window_difference
from endodav_jax.reconstruction.confidence import measure
from endodav_jax.reconstruction.config import FREE_SCALE
from endodav_jax.reconstruction.followed import FollowedPoints
from endodav_jax.reconstruction.fusion import with_neighbours
from endodav_jax.reconstruction.refine import refined_path
from endodav_jax.reconstruction.steady import SteadyDepth
from endodav_jax.reconstruction.tracker import Tracked, TrackingRules
from endodav_jax.reconstruction.views import make_view


class KnownClip:
    """Frames of `render_sequence`, or of a recording.

    Attributes:
      frames: with the keys of a rendered frame.
      intrinsics: float64 [4].
      depths: true depth of each frame, float32 [H,W], mm; 0 where there is none or at an instrument.
      world_from_cam: true poses, float64 [N,4,4], mm.
    """

    def __init__(self, frames: Sequence[dict]):
        self.frames = list(frames)
        self.intrinsics = self.frames[0]["intrinsics"]
        self.depths = [np.where(frame["tool"], 0, frame["depth_mm"]) for frame in self.frames]
        self.world_from_cam = inverse_rigid(np.stack([frame["cam_from_world"] for frame in self.frames]))

    @classmethod
    def recorded(cls, source: SequenceSource, sequence: str) -> "KnownClip":
        """The frames of a recording with points and poses, in the unit of these.

        Raises:
          UserError: a frame cannot be read, or has no pose or no points.
        """
        frames = []
        for frame in source.read(sequence):
            if frame.depth_mm is None or frame.cam_from_world is None:
                raise UserError(f"{sequence}: frame {frame.frame_index} has no pose or no points; add geometry.npz")
            everywhere = np.ones(frame.frame.shape[:2], bool)
            tool = ~(everywhere if frame.frame_mask is None else frame.frame_mask)
            view = everywhere if frame.view_mask is None else frame.view_mask
            frames.append(dataclasses.asdict(frame) | {"tool": tool, "view_mask": view})
        return cls(frames)

    def true_views(self) -> list[DepthView]:
        """The frames with their true depth."""
        return [self._view(number, depth) for number, depth in enumerate(self.depths)]

    def inferred(self, estimator, params: dict[str, dict]) -> tuple[list[DepthView], list[np.ndarray]]:
        """The frames with a network's depth, and its motions `later_from_earlier` [N-1] of [4,4].

        The network is given the view mask; instruments are removed from its output.
        """
        apart: dict[int, np.ndarray] = {}

        def on_overlap(number, earlier, later):
            apart[number] = window_difference(earlier, later)

        mask = self.frames[0]["view_mask"]
        rgbs = (frame["frame"] for frame in self.frames)
        found = estimator.iter_infer(rgbs, view_mask=None if mask.all() else mask, on_overlap=on_overlap)
        views = []
        for number, disparity in found:
            depth = np.where(disparity > 0, estimator.config.depth(disparity), 0).astype(np.float32)
            views.append(self._view(number, depth, apart.get(number)))
        given = (
            EvaluationFrame(
                frame=frame["frame"], depth_mm=None, cam_from_world=None, intrinsics=frame["intrinsics"],
                view_mask=frame["view_mask"], sequence=frame["sequence"], frame_index=frame["frame_index"],
            )
            for frame in self.frames
        )  # fmt: skip
        return views, [motion for motion, _ in MotionEstimator(params)(given)]

    def tracked(
        self, views: Sequence[DepthView], motions: Sequence[np.ndarray] | None
    ) -> tuple[CameraPath, CameraPath, FollowedPoints]:
        """The path of frames with a network's depth, as tracked and as adjusted to followed points, and these."""
        rules, points = TrackingRules(scale_sigma=FREE_SCALE), FollowedPoints()
        path = track_clip(lambda: iter(views), self.intrinsics, rules, motions, points=points)
        return path, refined_path(path, points), points

    def adjusted(self, views: Sequence[DepthView], motions: Sequence[np.ndarray]) -> tuple[CameraPath, FollowedPoints]:
        """The pose network's path adjusted to followed points: near what `tracked` ends at, without its time."""
        points = FollowedPoints()
        unit = float(np.median(views[0].depth[views[0].tissue()]))
        for view in views:
            points.push(make_view(view.index, view.rgb, view.depth, view.tissue(), self.intrinsics, unit), unit)
        return refined_path(chained_path(lambda: iter(views), self.intrinsics, motions), points), points

    def measured(self, views: Sequence[DepthView], path: CameraPath) -> Iterator[tuple[DepthView, Tracked, np.ndarray]]:
        """Yields every frame with its entry in the path and its confidence features."""
        for view, tracked, neighbours in with_neighbours(views, path.frames):
            yield view, tracked, measure(view, neighbours, self.intrinsics, tracked.triangulated)

    def _view(self, number: int, depth: np.ndarray, apart: np.ndarray | None = None) -> DepthView:
        frame = self.frames[number]
        inside = frame["view_mask"] & ~frame["tool"]
        return DepthView(number, frame["frame"], np.where(inside, depth, 0).astype(np.float32), inside, apart)


def steadied(
    views: Sequence[DepthView], path: CameraPath, points: FollowedPoints
) -> tuple[list[DepthView], CameraPath]:
    """The frames with their depth corrected along a path that was adjusted to points, and the path about that depth."""
    steady = SteadyDepth(path, points)
    depths = [steady(place, view.depth, view.inside) for place, view in enumerate(views)]
    fields = (
        np.log(np.where(view.depth > 0, depth, 1)) - np.log(np.where(view.depth > 0, view.depth, 1))
        for view, depth in zip(views, depths, strict=True)
    )
    corrected = [dataclasses.replace(view, depth=depth) for view, depth in zip(views, depths, strict=True)]
    return corrected, steady.left(path, fields)
