"""A run goes on with the configuration that it was trained with, unless a change is of no account or allowed."""

import dataclasses
import json

import pytest

from endodav_jax.config import Config
from endodav_jax.errors import UserError
from endodav_jax.training.config import LearningRates, TrainConfig
from endodav_jax.training.phases import PhaseSchedule
from endodav_jax.training.resume import changed_fields, check_arrays, check_changes, check_length

CONFIG = Config(train=TrainConfig(schedule="constant"))


def changed(config: Config, stored: Config = CONFIG) -> list[str]:
    """What is said of `config` after a checkpoint of `stored`, whose record went through JSON."""
    return changed_fields(json.loads(json.dumps(dataclasses.asdict(stored))), dataclasses.asdict(config))


def with_section(name: str, stored: Config = CONFIG, **fields) -> Config:
    return dataclasses.replace(stored, **{name: dataclasses.replace(getattr(stored, name), **fields)})


def test_the_same_configuration_has_not_changed():
    assert changed(CONFIG) == []


@pytest.mark.parametrize(
    ("section", "fields", "lines"),
    [
        ("train", {"learning_rates": LearningRates(pose=3e-4)},
         ["config.train.learning_rates.pose: was 0.0001, now 0.0003"]),
        ("train", {"phases": PhaseSchedule(spatial_steps=7)}, ["config.train.phases.spatial_steps: was 400, now 7"]),
        ("train", {"schedule": "step"}, ["config.train.schedule: was 'constant', now 'step'"]),
        ("data", {"batch_size": 2, "jitter_probability": 0.0},
         ["config.data.batch_size: was 1, now 2", "config.data.jitter_probability: was 0.5, now 0.0"]),
        ("model", {"image_shape": (28, 28)}, ["config.model.image_shape: was [224, 280], now [28, 28]"]),
    ],
)  # fmt: skip
def test_a_field_that_changes_the_run_is_a_line_of_what_it_was_and_is(section, fields, lines):
    assert changed(with_section(section, **fields)) == lines


@pytest.mark.parametrize(
    ("section", "fields"),
    [
        ("train", {"log_every": 3, "save_every": 7, "keep_last": 5, "picture_every": 1, "remat": False}),
        ("train", {"validation_path": "elsewhere", "validation_frames": 3, "on_nan": "skip", "allow_changes": True}),
        ("data", {"threads": 1, "workers": 2, "prefetch": 3, "path": "moved/there"}),
        ("evaluate", {"align": "median"}),
        ("train", {"steps": 99}),
    ],
)
def test_a_field_that_does_not_may_change_freely(section, fields):
    assert changed(with_section(section, **fields)) == []


def test_the_length_of_a_run_matters_where_rates_come_down_over_it():
    cosine = with_section("train", schedule="cosine", steps=10)
    longer = with_section("train", cosine, steps=20)
    assert changed(longer, cosine) == ["config.train.steps: was 10, now 20"]


def test_a_field_that_is_newer_than_the_checkpoint_has_not_changed():
    stored = dataclasses.asdict(CONFIG)
    del stored["train"]["clip_norm"]
    assert changed_fields(stored, dataclasses.asdict(CONFIG)) == []


@pytest.mark.parametrize(("was", "lines"), [(0, 0), (400, 1)])
def test_an_option_that_is_gone_has_changed_where_it_was_used(was, lines):
    before = dataclasses.asdict(CONFIG)
    before["data"] |= {"interval_growth": was}
    assert len(changed_fields(before, dataclasses.asdict(CONFIG))) == lines


def test_changes_need_permission_and_are_told_either_way(capsys):
    lines = ["config.seed: was 0, now 1", "config.data.hue: was 0.1, now 0.2"]
    with pytest.raises(
        UserError, match=r"last/3: .* another config\.seed, config\.data\.hue; .*allow_changes=True"
    ) as e:
        check_changes("last/3", lines, allowed=False)
    assert "\n" not in str(e.value)
    assert capsys.readouterr().err.splitlines() == lines
    check_changes("last/3", lines, allowed=True)
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize(
    ("before", "now", "line"),
    [
        ({"a": [2]}, {"a": [3]}, r"last/3: a has shape \(2,\), and here \(3,\); give the model"),
        ({"a": [2], "b": []}, {"a": [2]}, "last/3: holds b, which the run does not"),
        ({"a": [2]}, {"a": [2], "b": []}, "last/3: does not hold b, which the run does"),
    ],
)
def test_other_arrays_are_refused_whatever_is_allowed(before, now, line):
    with pytest.raises(UserError, match=line):
        check_arrays("last/3", before, now)
    check_arrays("last/3", now, now)


def test_a_run_that_is_shorter_than_what_is_done_is_refused():
    check_length("last/00000020", 20, 20)
    with pytest.raises(
        UserError, match=r"^last/00000020: 20 steps are done, and this run would have 10; give at least"
    ):
        check_length("last/00000020", 20, 10)
