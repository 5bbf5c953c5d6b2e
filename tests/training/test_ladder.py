"""The ladder: the same training with less and less of the truth, and the rung on which it breaks."""

import argparse
import importlib
from pathlib import Path

import pytest

from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.config import Config, base_config, read_config
from endodav_jax.data.config import PhantomData
from endodav_jax.data.rendered import render
from endodav_jax.errors import EXIT_PREEMPTED, UserError
from endodav_jax.evaluation.evaluate import Results
from endodav_jax.training.cameras import CAMERAS, objectives_of
from endodav_jax.training.config import TrainConfig
from endodav_jax.training.depth_objective import depth_objective
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.phases import PhaseSchedule
from endodav_jax.training.watch import RunBroken
from tests.data.tiny_source import TinySource, prepare_tiny
from tests.training.toy import toy_config

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def ladder():
    """The module `tools/benchmarks/ladder.py`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        yield importlib.import_module("benchmarks.ladder")


CONFIG = Config(
    train=TrainConfig(objective=ObjectiveConfig(projection_weight=3.0), phases=PhaseSchedule(motion_steps=5))
)


def test_rungs_differ_in_what_is_given_and_what_is_on(ladder):
    rungs = {rung: ladder.configured(CONFIG, rung, (4, 1)).train for rung in ladder.RUNGS}
    assert [rung for rung, train in rungs.items() if train.objective.projection_weight] == ["projection", "phases"]
    assert [rung for rung, train in rungs.items() if not train.phases.joint] == ["phases"]
    assert rungs["phases"].phases == PhaseSchedule(4, 1, motion_steps=5)
    assert all(train.phases.motion_steps == 5 for train in rungs.values())
    assert rungs["learned"].learning_rates == CONFIG.train.learning_rates
    assert [rung for rung, train in rungs.items() if train.objective.points_weight] == ["points"]


def test_a_rung_has_its_own_camera_whatever_the_configuration_s(ladder):
    chosen = {}
    for rung in ladder.RUNGS:
        train = ladder.configured(read_config("quickstart"), rung, (4, 1)).train
        chosen[rung] = objectives_of(train.objective, ladder.RUNGS[rung])
    assert all(chosen[rung] == ladder.RUNGS[rung] for rung in ladder.RUNGS)
    assert chosen["learned"].depth is depth_objective
    assert chosen["points"] == chosen["path"] == CAMERAS["path"]


@pytest.mark.parametrize(
    ("after", "line"),
    [
        ({"true view": 0.11}, "true view already gains nothing (-10.0% of abs rel)"),
        ({"true view": 0.08, "learned": 0.099}, "breaks on learned: +1.0% of abs rel where true view gains 20.0%"),
        ({"true view": 0.08, "learned": 0.084, "phases": 0.082}, "no rung breaks"),
    ],
)
def test_the_rung_that_breaks_gains_less_than_three_quarters_of_the_one_above(ladder, after, line):
    figures = {"before": {"abs_rel": 0.1}, "rungs": {rung: {"abs_rel": value} for rung, value in after.items()}}
    assert ladder.verdict(figures) == line


def test_a_rung_that_cannot_be_trained_to_its_end_breaks_and_the_next_is_climbed(ladder, tmp_path, monkeypatch, capsys):
    def train(config, workdir, objectives):
        if objectives is CAMERAS["path"]:
            raise RunBroken("step 14: its last ReLU is dead")

    monkeypatch.setattr(ladder, "EvaluationVideos", lambda *_: None)
    monkeypatch.setattr(ladder, "_measured", lambda *_: {"abs_rel": 0.1, "tae": 1.0})
    monkeypatch.setattr(ladder, "_curves", lambda _: {"photometric": [0.2, 0.1], "relief": 1.0, "median_depth": 1.0})
    monkeypatch.setattr(ladder, "train", train)
    figures = ladder.climb(CONFIG, tmp_path, dict.fromkeys(("path", "learned"), CONFIG))
    assert figures["rungs"]["path"] == {"broken": "step 14: its last ReLU is dead"}
    assert figures["rungs"]["learned"]["abs_rel"] == 0.1
    assert [line.split()[:2] for line in ladder.report(figures).splitlines()[3:5]] == [
        ["path", "broken"],
        ["learned", "0.1000"],
    ]
    assert ladder.verdict(figures) == "breaks on path: step 14: its last ReLU is dead"
    assert capsys.readouterr().err == "path: step 14: its last ReLU is dead\n"


@pytest.mark.parametrize(
    ("option", "line"),
    [
        (("--rungs", "true view,false view"), "'false view' is not one of true depth, true view, true camera"),
        (("--steps", "0"), "argument --steps: 0: give at least 1"),
        (("--steps=-3",), "argument --steps: -3: give at least 1"),
        (("--phases", "0,0"), "argument --phases: '0,0' is not S,T, steps of which one at least is above 0"),
        (("--phases", "foo"), "argument --phases: 'foo' is not S,T"),
        (("--phases", "1,2,3"), "argument --phases: '1,2,3' is not S,T"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(ladder, option, line, capsys):
    parser = argparse.ArgumentParser()
    ladder.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["data", "--workdir", "out", *option])
    assert line in capsys.readouterr().err


def test_a_rung_that_cannot_be_trained_is_refused_before_the_first(ladder, tmp_path):
    data = prepare_tiny(tmp_path / "data", TinySource({"a": 3}, camera=False), splits=("train", "test"))
    command = [str(data), "--workdir", str(tmp_path / "out")]
    parser = argparse.ArgumentParser()
    ladder.add_arguments(parser)
    with pytest.raises(UserError, match=r"the camera of a is not known.*; or leave 'path' out of --rungs") as caught:
        ladder.run_arguments(
            parser.parse_args(
                [*command, "--set", "train.objective.camera=pose", "--set", "train.objective.learn_intrinsics=True"]
            )
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_ladder_that_is_stopped_says_how_to_go_on(ladder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ladder, "configurations", lambda config, rungs, _: dict.fromkeys(rungs, config))
    monkeypatch.setattr(ladder, "EvaluationVideos", lambda *_: None)
    monkeypatch.setattr(ladder, "_measured", lambda *_: {"abs_rel": 0.1, "tae": 1.0})
    monkeypatch.setattr(ladder, "train", lambda *_: EXIT_PREEMPTED)
    parser = argparse.ArgumentParser()
    ladder.add_arguments(parser)
    words = [str(tmp_path), "--workdir", str(tmp_path / "out"), "--rungs", "true view"]
    assert ladder.run_arguments(parser.parse_args(words)) == EXIT_PREEMPTED
    assert (
        capsys.readouterr().err
        == f"stopped and saved in {tmp_path / 'out' / 'true_view'}; rerun the same command to resume\n"
    )
    assert not (tmp_path / "out" / "ladder.json").exists()


def test_a_rung_is_not_measured_without_a_sequence_that_failed(ladder, monkeypatch):
    failed = Results((), {"organ_s0_0001": "no frame has a valid pixel"}, "model", CONFIG.evaluate)
    monkeypatch.setattr(ladder, "load_model", lambda _: (CONFIG.model, {"depth": {}}, None))
    monkeypatch.setattr(ladder, "DepthEstimator", lambda *_: None)
    monkeypatch.setattr(ladder, "evaluate_network", lambda *_: failed)
    with pytest.raises(UserError, match="model: organ_s0_0001: no frame has a valid pixel"):
        ladder._measured(CONFIG, "model", None)


@pytest.mark.slow
@pytest.mark.long
def test_rungs_are_trained_and_measured_before_and_after(ladder, tmp_path, capsys):
    render(PhantomData(family="organ", sequences=1, frames=8, height=64, width=64), tmp_path / "data")
    toy = toy_config(SHIPPED, resnet_layers=10, remat=False, objective=ObjectiveConfig(scales=(0,), remat=False))
    values = base_config(model=toy.model, train=toy.train).to_dict()
    (tmp_path / "toy.py").write_text(
        f"import ml_collections\n\ndef get_config():\n    return ml_collections.ConfigDict({values!r})\n"
    )
    parser = argparse.ArgumentParser()
    ladder.add_arguments(parser)
    ladder.run_arguments(
        parser.parse_args(
            [
                str(tmp_path / "data"), "--workdir", str(tmp_path / "out"), "--config", str(tmp_path / "toy.py"),
                "--set", f"weights={SHIPPED}", "--set", "data.clip_length=2", "--steps", "2", "--rungs",
                "true depth,true camera,true changes", "--set", "evaluate.max_len=2",
            ]
        )
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert (tmp_path / "out" / "ladder.json").is_file()
    assert (tmp_path / "out" / "true_depth" / "report.html").is_file()
    table = printed[printed.index("2 steps a rung") :]
    assert [line[:12].strip() for line in table.splitlines()[2:6]] == [
        "before",
        "true depth",
        "true camera",
        "true changes",
    ]
