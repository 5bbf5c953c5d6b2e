"""A real sinus endoscopy with points and poses from structure from motion, with the network of the package."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from endodav_jax.checkpoints import load_model
from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.data.sources.frames import FramesSource
from endodav_jax.errors import UserError
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.reconstruction.confidence import ConfidenceModel
from endodav_jax.reconstruction.known_clip import KnownClip
from endodav_jax.reconstruction.measures import ause, path_errors
from endodav_jax.reconstruction.scaled import scaled
from endodav_jax.scale.estimate import one_scale

SINUS = Path(__file__).parents[3] / "shared/data/sinus"


def test_frames_without_poses_and_points_are_one_line(tmp_path):
    for number in range(2):
        Image.new("RGB", (40, 30), (90, 60, 50)).save(tmp_path / f"{number:03d}.png")
    source = FramesSource(tmp_path)
    with pytest.raises(UserError, match=r"frame 0 has no pose or no points; add geometry\.npz"):
        KnownClip.recorded(source, source.sequences("train")[0])


@pytest.mark.slow
@pytest.mark.skipif(not SINUS.is_dir(), reason="no shared/data/sinus beside the repository")
def test_path_and_confidence_hold_on_a_real_recording():
    model, params, _ = load_model(SHIPPED)
    clip = KnownClip.recorded(FramesSource(SINUS), "sinus")
    views, motions = clip.inferred(DepthEstimator(model, params["depth"]), params)
    _, path, _ = clip.tracked(views, motions)
    assert not path.lost()

    def by_points(frames):
        ratios = {}
        for frame in frames():
            known = (clip.depths[frame.index] > 0) & (frame.depth > 0)
            ratios[frame.index] = clip.depths[frame.index][known] / frame.depth[known]
        return one_scale(ratios, "points")

    scale, path = scaled(lambda: iter(views), path, by_points)
    places, truth = scale.factor * path.world_from_cam(0)[:, :3, 3], clip.world_from_cam[:, :3, 3]
    assert path_errors(places, truth, free_scale=True).share < 0.02
    assert path_errors(places, truth, free_scale=True).scale == pytest.approx(1, abs=0.1)
    errors, expected = [], []
    for place, (view, _, features) in enumerate(clip.measured(views, path)):
        known = (clip.depths[place] > 0) & (view.depth > 0)
        errors.append(np.abs(scale.factor * view.depth[known] / clip.depths[place][known] - 1))
        expected.append(ConfidenceModel.shipped().expected_error(features[known]))
    found, chance = ause(np.concatenate(errors), np.concatenate(expected))
    assert found < 0.6 * chance
