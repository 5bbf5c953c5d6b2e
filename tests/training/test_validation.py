"""Validation evaluates the network alone, whatever else the configuration's evaluation does."""

import dataclasses
from types import SimpleNamespace

import pytest

from endodav_jax.config import Config
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.training import validation
from endodav_jax.training.config import TrainConfig
from endodav_jax.training.validation import Validation
from tests.evaluation.plane_videos import PlaneVideos, depth_of


class Seer:
    """Knows the wall's disparity."""

    config = DepthModelConfig()

    def iter_infer(self, frames, windows, mask, mask_of=None):
        for number, _ in enumerate(frames):
            yield number, (1 / depth_of(number) - 1 / 150) / (10 - 1 / 150)


@pytest.fixture
def videos(monkeypatch):
    videos = PlaneVideos({"wall": 4})
    videos.split = SimpleNamespace(folder=videos.split.folder, split="validation", lengths=[4])
    monkeypatch.setattr(validation, "EvaluationVideos", lambda path, split: videos)
    monkeypatch.setattr(validation, "DepthEstimator", lambda model, params: Seer())


def test_a_configuration_that_steadies_in_evaluation_is_validated_as_one_that_does_not(videos):
    config = Config(train=TrainConfig(validation_path="somewhere"))
    steadied = dataclasses.replace(config, evaluate=EvaluateConfig(steady=True))
    plain, also_plain = Validation(config), Validation(steadied)
    assert also_plain.score({}) == plain.score({})
    assert plain.score({}).means["abs_rel"] < 1e-3
    assert also_plain.settings == plain.settings  # so that either's best network may be the other's
