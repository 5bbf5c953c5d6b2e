"""A network's depth of a sequence comes in the unit of the ground truth, and its masks reach the fits."""

import dataclasses
import types

import numpy as np
import pytest

from endodav_jax.errors import UserError
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.evaluate import evaluate_network
from endodav_jax.evaluation.predict import predicted_depth
from endodav_jax.models.config import DepthModelConfig
from tests.evaluation.plane_videos import SHAPE, PlaneVideos, image_of
from tests.media_fixtures import FakeEstimator, luminance

LENGTH = 5
VIDEOS = PlaneVideos({"s": LENGTH})


@pytest.mark.parametrize("output", ["disparity", "metric_depth"])
def test_metres_become_millimetres_and_disparity_depth(output):
    model = DepthModelConfig(output=output)
    seen = np.stack([luminance(image_of(number)) for number in range(LENGTH)])
    with predicted_depth(FakeEstimator(config=model), VIDEOS, "s", EvaluateConfig()) as depth:
        wanted = 1000 * seen if output == "metric_depth" else model.depth(seen)
        np.testing.assert_allclose(depth, wanted, rtol=1e-6)


class MaskedVideos(PlaneVideos):
    def frames(self, sequence, max_length=None):
        for number, frame in enumerate(super().frames(sequence, max_length)):
            yield dataclasses.replace(frame, frame_mask=np.full(SHAPE, number % 2 == 0))


def test_masks_of_the_frames_are_there_when_windows_are_fitted():
    asked = {}

    class Asking(FakeEstimator):
        def iter_infer(self, frames, align="endodav", view_mask=None, on_window=None, mask_of=None):
            for number, disparity in super().iter_infer(frames, align, view_mask, on_window):
                asked[number] = None if mask_of is None else bool(mask_of(number).all())
                yield number, disparity

    for videos, wanted in ((VIDEOS, None), (MaskedVideos({"s": LENGTH}), True)):
        with predicted_depth(Asking(), videos, "s", EvaluateConfig()):
            assert asked == {i: wanted and i % 2 == 0 for i in range(LENGTH)}


def test_depth_is_evaluated_as_it_was_corrected_and_no_correction_is_left_out():
    def correct(frames, depth):
        for number, frame in enumerate(frames()):
            depth[number] = frame.truth_mm

    estimator = FakeEstimator(config=DepthModelConfig())
    steadied = EvaluateConfig(steady=True)
    assert evaluate_network(estimator, VIDEOS, EvaluateConfig()).means()["abs_rel"] > 1e-3
    assert evaluate_network(estimator, VIDEOS, steadied, correct=correct).means()["abs_rel"] < 1e-4
    with pytest.raises(ValueError, match=r"evaluate\.steady: give `correct`"):
        evaluate_network(estimator, VIDEOS, steadied)


def test_a_disk_too_small_is_one_line_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=100))
    with (
        pytest.raises(UserError, match=r"needs \d+\.\d kB, 0\.1 kB are free; set TMPDIR"),
        predicted_depth(FakeEstimator(), VIDEOS, "s", EvaluateConfig()),
    ):
        pass
