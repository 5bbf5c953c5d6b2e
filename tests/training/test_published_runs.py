"""The published settings, as reference and options of the published programs have them."""

import pytest

from endodav_jax.config import Config, base_config, config_from_dict
from endodav_jax.training import published_runs


@pytest.mark.parametrize(
    "sections", [published_runs.endodav(), published_runs.endodac(), published_runs.endodav("vits", False)]
)
def test_published_settings_make_a_whole_configuration(sections):
    assert config_from_dict(base_config(**sections).to_dict()) == Config(**sections)


def test_endodav_sees_clips_and_endodac_a_batch_of_frames():
    video, frames = published_runs.endodav()["data"], published_runs.endodac()["data"]
    assert (video.clip_length, video.batch_size) == (16, 1)
    assert (frames.clip_length, frames.batch_size) == (1, 8)


def test_the_ablation_without_projection_loss_differs_in_nothing_else():
    with_loss, without = (Config(**published_runs.endodav("vitb", projection)) for projection in (True, False))
    assert (with_loss.train.objective.projection_weight, without.train.objective.projection_weight) == (1e-2, 0.0)
    assert (with_loss.model, with_loss.data, with_loss.train.phases) == (
        without.model,
        without.data,
        without.train.phases,
    )
