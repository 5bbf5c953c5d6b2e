"""The metric scale of a clip, and what the points along its path say about depth in that scale."""

from collections.abc import Callable, Iterator

import numpy as np

from endodav_jax.reconstruction.clip import CameraPath, Clip, DepthView
from endodav_jax.reconstruction.confidence import depth_by_points
from endodav_jax.reconstruction.tracker import Tracked
from endodav_jax.scale.estimate import Scale
from endodav_jax.scale.sources import ScaleFrame

Frames = Callable[[], Iterator[ScaleFrame]]


def scaled(clip: Clip, path: CameraPath, measured: Callable[[Frames], Scale]) -> tuple[Scale, CameraPath]:
    """Returns the scale of a clip's depth, and the path about that scale.

    Without a scale, depth is right in the median of the view, and so is the path's unit.  A source that sees only a
    part of the view gives the factor that is right there, and a network may be off by another one elsewhere.  So the
    source also measures depth as the followed points correct it, whose factor is the path's own; by the ratio of both,
    the path and what its points say about depth are brought to the unit of depth where it was measured.

    Args:
      clip: its frames.
      path: their poses and points.
      measured: the scale of frames with depth.
    """

    def frames(depth_of: Callable[[DepthView, Tracked], np.ndarray]) -> Frames:
        def yielded() -> Iterator[ScaleFrame]:
            for view, tracked in zip(clip(), path.frames, strict=True):
                yield ScaleFrame(view.index, view.rgb, np.where(view.tissue(), depth_of(view, tracked), 0))

        return yielded

    scale = measured(frames(lambda view, _: view.depth))
    corrected = measured(frames(lambda view, tracked: depth_by_points(view.depth, tracked.triangulated)))
    return scale, path.about(float(np.log(corrected.factor / scale.factor)))
