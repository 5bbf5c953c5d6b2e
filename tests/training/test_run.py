"""What a run does at its end of an epoch and when it is started again, with objectives that compile in no time."""

import json
import shutil
from pathlib import Path

import pytest

from endodav_jax.errors import EXIT_OK, EXIT_USER_ERROR, UserError
from tests.training import quick_run

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def train(workdir: Path, *overrides: str) -> int:
    """Runs, or goes on with, two steps that save once, at the end, and validate before and after it."""
    return quick_run.main(
        [
            f"--config={ROOT / 'configs' / 'smoke.py'}", f"--workdir={workdir}", "--config.train.steps=2",
            "--config.train.save_every=100", "--config.train.validation_frames=2", "--config.train.picture_every=0",
            *overrides,
        ]
    )  # fmt: skip


def validations(workdir: Path) -> list[dict]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "validation"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished")
    assert train(workdir) == EXIT_OK
    return workdir


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, data and all."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def test_a_sequence_that_cannot_be_validated_is_a_line_and_the_run_goes_on(finished, tmp_path, capfd):
    shutil.copytree(finished / "data", tmp_path / "data")
    assert train(tmp_path, "--config.evaluate.far=0.01") == EXIT_OK
    error = capfd.readouterr().err
    assert "validation after step 2: organ" in error
    assert "no frame has a valid pixel of ground truth; skipped" in error
    assert "Traceback" not in error
    assert [line["step"] for line in validations(tmp_path)] == [0, 2]
    assert all(line["failed_sequences"] == 1 and "rmse" not in line for line in validations(tmp_path))
    assert (tmp_path / "model" / "card.json").is_file()
    assert not (tmp_path / "model_best").exists()


def test_a_run_begins_with_what_its_data_can_teach(run, monkeypatch, capfd):
    def solved(*_):
        raise UserError("the camera's path would be solved here")

    monkeypatch.setattr("endodav_jax.training.loop.data_for", solved)
    assert train(run) == EXIT_USER_ERROR
    printed = capfd.readouterr().out
    assert printed.startswith("data: parallax ")
    assert "px every frame" in printed


def test_a_run_stopped_between_saving_and_validating_validates_when_it_goes_on(run, capfd):
    start, end = validations(run)
    assert (start["step"], end["step"]) == (0, 2)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(line for line in lines if json.loads(line) != end))
    assert train(run) == EXIT_OK
    assert validations(run) == [start, end]
    assert train(run) == EXIT_OK
    assert validations(run) == [start, end], "once is enough"


def test_a_run_validates_at_its_start_and_as_often_as_is_asked(finished, tmp_path, capfd):
    shutil.copytree(finished / "data", tmp_path / "data")
    assert train(tmp_path, "--config.train.steps=3", "--config.train.validate_every=2") == EXIT_OK
    assert [line["step"] for line in validations(tmp_path)] == [0, 2, 3]
    printed = capfd.readouterr().out
    start, last = (validations(tmp_path)[i]["abs_rel"] for i in (0, -1))
    assert f"validation after step 0: abs_rel {start:.4g}, rmse" in printed
    assert f"validation after step 3: abs_rel {last:.4g} ({100 * (last / start - 1):+.0f}%), rmse" in printed


def test_a_changed_rate_is_refused_and_goes_on_where_that_is_allowed(run, capfd):
    changed = ["--config.train.steps=3", "--config.train.learning_rates.pose=3e-4"]
    assert train(run, *changed) == EXIT_USER_ERROR
    first, last = capfd.readouterr().err.strip().splitlines()[-2:]
    assert first == "config.train.learning_rates.pose: was 0.0001, now 0.0003"
    assert "another config.train.learning_rates.pose" in last
    assert train(run, *changed, "--config.train.allow_changes=True") == EXIT_OK
    assert first in capfd.readouterr().err
    assert (run / "checkpoints" / "last" / "00000003").is_dir()


def test_other_clips_are_drawn_from_their_start_where_that_is_allowed(run, capfd):
    changed = ["--config.train.steps=3", "--config.data.clip_length=3", "--config.train.allow_changes=True"]
    assert train(run, *changed) == EXIT_OK
    assert "its clips are drawn from the start" in capfd.readouterr().err


def test_another_network_is_refused_whatever_is_allowed(run, capfd):
    changed = ["--config.model.adapter='lora'", "--config.train.allow_changes=True"]
    assert train(run, *changed) == EXIT_USER_ERROR
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert "give the model that it was trained with" in last
    assert "damaged" not in last


def test_logs_and_threads_may_change_freely_and_a_longer_run_goes_on(run, capfd):
    free = ["--config.train.steps=3", "--config.train.log_every=5", "--config.data.threads=2"]
    assert train(run, *free) == EXIT_OK
    assert "was" not in capfd.readouterr().err


def test_a_run_that_would_be_shorter_than_it_is_is_refused(run, capfd):
    assert train(run, "--config.train.steps=1") == EXIT_USER_ERROR
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert "00000002: 2 steps are done, and this run would have 1; give at least as many" in last


def test_a_run_leaves_a_report(finished):
    page = (finished / "report.html").read_text()
    assert "step 2 of 2" in page
    assert "Norms before clipping" in page
    assert "train.log_every" in page
