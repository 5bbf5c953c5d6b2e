"""A run that is killed, at any instant, and started again ends with the same parameters bit for bit.

Through the command line, with objectives that compile in no time (`quick_run`).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from endodav_jax.checkpoints import load_model
from endodav_jax.checkpoints.store import read_card
from endodav_jax.errors import EXIT_PREEMPTED, EXIT_USER_ERROR

ROOT = Path(__file__).parents[2]
STEPS = 12

pytestmark = pytest.mark.slow


def start(workdir: Path, *overrides: str) -> subprocess.Popen:
    """Starts the run in a process of its own."""
    return subprocess.Popen(
        [
            sys.executable, "-m", "tests.training.quick_run", f"--config={ROOT / 'configs' / 'smoke.py'}",
            f"--workdir={workdir}", f"--config.train.steps={STEPS}", "--config.train.save_every=3",
            "--config.train.validation_frames=2", "--config.train.resnet_layers=10", *overrides,
        ],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def finish(workdir: Path, *overrides: str) -> str:
    """Lets a run go on to its end and returns what it printed."""
    process = start(workdir, *overrides)
    out, error = process.communicate(timeout=1200)
    assert process.returncode == 0, error[-2000:]
    return out


def wait_for(process: subprocess.Popen, condition) -> None:
    """Waits until something happened in the run."""
    while not condition():
        assert process.poll() is None, process.stderr.read()[-2000:]
        time.sleep(0.002)


def logged_steps(workdir: Path) -> int:
    path = workdir / "metrics.jsonl"
    return path.read_text().count('"kind": "train"') if path.exists() else 0


def last_step(workdir: Path) -> int:
    """Of the newest checkpoint that is whole; 0 for none."""
    folder = workdir / "checkpoints" / "last"
    return max((int(path.name) for path in folder.glob("*") if path.name.isdigit()), default=0)


def last_checksums(workdir: Path) -> dict:
    """The CRC of every array of the last checkpoint: parameters, moments, statistics, counters."""
    newest = max((workdir / "checkpoints" / "last").iterdir())
    assert int(newest.name) == STEPS
    return json.loads((newest / "record" / "metadata").read_text())["checksums"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    finish(workdir)
    return workdir


def test_a_run_killed_between_and_while_writing_checkpoints_ends_the_same(uninterrupted, tmp_path):
    def writing() -> bool:
        return any((tmp_path / "checkpoints" / "last").glob("*tmp*"))

    for condition in (
        lambda: logged_steps(tmp_path) >= 2,  # before the first checkpoint
        writing,  # while one is being written
        lambda: last_step(tmp_path) >= 6,  # with work done that was saved
    ):
        process = start(tmp_path)
        wait_for(process, condition)
        process.kill()
        process.communicate()
    saved = last_step(tmp_path)
    assert f"resuming from step {saved} of {STEPS}" in finish(tmp_path)
    assert last_checksums(tmp_path) == last_checksums(uninterrupted)


def test_termination_saves_and_exits_with_its_own_code(uninterrupted, tmp_path):
    process = start(tmp_path)
    wait_for(process, lambda: logged_steps(tmp_path) >= 1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=1200)
    assert process.returncode == EXIT_PREEMPTED
    saved = last_step(tmp_path)
    assert not (tmp_path / "model").exists()
    assert f"resuming from step {saved} of {STEPS}" in finish(tmp_path)
    assert last_checksums(tmp_path) == last_checksums(uninterrupted)


def test_a_run_leaves_logs_pictures_and_a_model(uninterrupted):
    assert logged_steps(uninterrupted) == STEPS
    validation = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()]
    validation = [line for line in validation if line["kind"] == "validation"]
    assert validation
    assert {"abs_rel", "rmse", "tae"} <= set(validation[-1])
    assert list((uninterrupted / "pictures").glob("*.png"))
    assert (uninterrupted / "model" / "card.json").is_file()
    assert "validation" in read_card(uninterrupted / "model_best").entries


def test_the_model_of_a_run_holds_the_statistics_that_evaluation_needs(uninterrupted):
    _, params, _ = load_model(uninterrupted / "model")
    moved = params["pose"]["encoder"]["stem"]["norm"]["var"]
    assert not (moved == 1).any()


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_goes_on(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted / "checkpoints", tmp_path / "checkpoints")
    shutil.copytree(uninterrupted / "data", tmp_path / "data")
    for file in (tmp_path / "checkpoints" / "last" / f"{STEPS:08d}" / "state").rglob("*"):
        if file.is_file() and file.stat().st_size > 1000:
            file.write_bytes(file.read_bytes()[:500])
    process = start(tmp_path)
    out, error = process.communicate(timeout=1200)
    assert process.returncode == 0, error[-2000:]
    assert f"{STEPS:08d}: damaged" in error
    assert f"resuming from step {STEPS - 3} of {STEPS}" in out
    assert last_checksums(tmp_path) == last_checksums(uninterrupted)


def test_a_loss_that_is_not_finite_ends_the_run_in_one_line_and_keeps_what_was_saved(tmp_path):
    process = start(tmp_path, "--config.train.learning_rates.flow=1e30", "--config.train.save_every=1")
    _, error = process.communicate(timeout=1200)
    assert process.returncode == EXIT_USER_ERROR
    line = error.strip().splitlines()[-1]
    assert line.startswith("endodav_jax: step 2: flow_phase/loss")
    assert "is not finite, on organ" in line
    assert "frames" in line
    assert "Traceback" not in error
    assert last_step(tmp_path) == 1


def test_steps_that_are_not_finite_are_skipped_and_counted_where_that_is_asked_for(tmp_path):
    finish(tmp_path, "--config.train.learning_rates.flow=1e30", "--config.train.on_nan=skip")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    finite = [line["finite"] for line in lines if line["kind"] == "train"]
    assert finite == [1.0] + [0.0] * (STEPS - 1)
    assert [line["skipped"] for line in lines if line["kind"] == "train"] == [*map(float, range(STEPS))]
