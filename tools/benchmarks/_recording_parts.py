"""A recording whose poses and points are known, for `reconstruct --recording`."""

from pathlib import Path

import numpy as np

from endodav_jax.data.sources.frames import FramesSource
from endodav_jax.reconstruction.clip import CameraPath
from endodav_jax.reconstruction.confidence import ConfidenceModel, depth_by_points
from endodav_jax.reconstruction.known_clip import KnownClip
from endodav_jax.reconstruction.measures import ause, clip_scale, reliability


def recorded_clip(folder: Path) -> KnownClip:
    """Reads a folder as `endodav prepare frames` does; the first sequence if it holds several.

    Raises:
      UserError: there are no frames, or no poses and points beside them.
    """
    source = FramesSource(folder)
    return KnownClip.recorded(source, source.sequences("train")[0])


def path_about_points(clip: KnownClip, views: list, path: CameraPath) -> CameraPath:
    """The path as `--scale points` leaves it, with the known points."""
    scale = clip_scale([view.depth for view in views], clip.depths)
    corrected = [
        depth_by_points(view.depth, tracked.triangulated) for view, tracked in zip(views, path.frames, strict=True)
    ]
    shift = float(np.log(clip_scale(corrected, clip.depths) / scale))
    return path.about(shift)


def confidence_line(clip: KnownClip, views: list, path: CameraPath) -> dict:
    """How the expected errors of the package's model rank and match the errors at the known points."""
    scale = clip_scale([view.depth for view in views], clip.depths)
    model = ConfidenceModel.shipped()
    errors, expected = [], []
    for place, (view, tracked, features) in enumerate(clip.measured(views, path)):
        truth = clip.depths[place]
        known = (truth > 0) & (view.depth > 0)
        if tracked.piece >= 0:
            errors.append(np.abs(scale * view.depth[known] / truth[known] - 1))
            expected.append(model.expected_error(features[known]))
    error, said = np.concatenate(errors), np.concatenate(expected)
    found, chance = ause(error, said)
    return {
        "points": len(error),
        "mean_error": round(float(error.mean()), 4),
        "ause_better_than_random": round(1 - found / chance, 3),
        "expected_over_found_by_tenths": [round(float(a / b), 2) for a, b in reliability(error, said)],
    }
