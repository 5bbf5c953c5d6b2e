"""Every file of `configs/` is a whole configuration, and those of the paper say what the paper says."""

import dataclasses
from pathlib import Path

import pytest

from endodav_jax.checkpoints.shipped import VARIED
from endodav_jax.config import Config, config_from_dict, load_config_file
from endodav_jax.jobs.describe import describe
from endodav_jax.main import JOBS
from endodav_jax.models.config import DepthModelConfig

FOLDER = Path(__file__).parents[1] / "configs"
FILES = sorted(path.name for path in FOLDER.glob("*.py"))
ABLATION = {"neither": (False, "none"), "projection": (True, "none"),
            "alignment": (False, "endodav"), "both": (True, "endodav")}  # fmt: skip


def built(name: str) -> Config:
    """The configuration of a file."""
    return config_from_dict(load_config_file(FOLDER / name).to_dict())


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_built_and_names_a_job(name):
    assert built(name).job in JOBS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("endodav_vitb_scared.py", "191,489 trainable of 114,540,609 (0.17%)"),
        ("endodac_vitb_scared.py", "1,667,076 trainable of 99,091,748 (1.68%)"),
    ],
)
def test_the_published_networks_have_the_published_counts(name, counts):
    assert counts in describe(built(name).model)
    assert all(number in (FOLDER / name).read_text() for number in (counts.split()[0], counts.split()[3]))


@pytest.mark.parametrize(("name", "preset"), [("endodav_vitb_scared.py", "vitb"), ("endodav_vits_scared.py", "vits")])
def test_endodav_trains_as_published(name, preset):
    config = built(name)
    train, objective = config.train, config.train.objective
    assert (config.job, config.model) == ("train", DepthModelConfig.endodav(preset))
    assert (config.data.clip_length, config.data.batch_size) == (16, 1)
    assert (config.data.jitter_probability, config.data.mirror_probability, config.data.hue) == (0.5, 0.5, 0.1)
    assert (train.epochs, train.schedule, train.drop_epoch, train.drop_factor) == (20, "step", 10, 0.1)
    assert set(vars(train.learning_rates).values()) == {1e-4}
    assert (train.phases.spatial_steps, train.phases.temporal_steps, train.phases.joint) == (400, 100, False)
    assert (objective.scales, objective.ssim_weight, objective.projection_weight) == ((0, 1, 2, 3), 0.85, 1e-2)
    assert (objective.transform_weight, objective.brightness_smoothness) == (0.01, 0.01)
    assert (objective.disparity_smoothness, objective.flow_smoothness) == (1e-3, 1e-3)
    assert (config.model.min_depth, config.model.max_depth, objective.learn_intrinsics) == (0.1, 150.0, True)
    assert (train.resnet_layers, train.clip_norm, train.ema_decay) == (18, 0.0, 0.0)


def test_endodac_sees_single_frames_and_switches_after_its_warm_up():
    config = built("endodac_vitb_scared.py")
    assert (config.job, config.model) == ("train", DepthModelConfig.endodac("vitb"))
    assert (config.data.clip_length, config.data.batch_size) == (1, 8)
    assert config.train.phases.warm_up_steps == 20_000


@pytest.mark.parametrize("row", ABLATION)
def test_a_row_of_the_ablation_differs_from_the_published_run_in_its_two_switches_alone(row):
    projection, windows = ABLATION[row]
    published, config = built("endodav_vitb_scared.py"), built(f"ablation_{row}.py")
    assert config.train.objective.projection_weight == (1e-2 if projection else 0.0)
    assert config.evaluate.windows == windows
    assert (config.model, config.data, config.train.phases, config.train.learning_rates) == (
        published.model,
        published.data,
        published.train.phases,
        published.train.learning_rates,
    )


def test_an_own_endoscope_needs_no_calibration_as_published_and_its_highlights_count_in_no_loss():
    published, own = (built(name).train.objective for name in ("finetune_published.py", "finetune_own.py"))
    assert (published.learn_intrinsics, own.learn_intrinsics) == (True, False)
    assert published.highlight_threshold == own.highlight_threshold == 0.98


def test_an_own_endoscope_is_fine_tuned_as_the_study_does_from_the_network_that_inference_uses():
    study, own = built("phantom_study.py"), built("finetune_own.py")
    assert (own.weights, own.model) == (VARIED, study.model)
    assert own.train.learning_rates == study.train.learning_rates
    objective = dataclasses.replace(own.train.objective, highlight_threshold=study.train.objective.highlight_threshold)
    assert objective == study.train.objective
    assert not own.data.phantom.family


def test_the_larger_study_differs_from_the_study_in_sizes_alone():
    study, larger = built("phantom_study.py"), built("phantom_study_192x256.py")
    phantom = larger.data.phantom
    assert (phantom.height, phantom.width, larger.model.image_shape) == (192, 256, (168, 224))
    sizes = {name: getattr(study.data.phantom, name) for name in ("height", "width", "sequences")}
    assert study == dataclasses.replace(
        larger,
        model=dataclasses.replace(larger.model, image_shape=study.model.image_shape),
        data=dataclasses.replace(larger.data, phantom=dataclasses.replace(phantom, **sizes)),
    )
