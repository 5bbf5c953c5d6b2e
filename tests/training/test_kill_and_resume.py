"""A run that is killed, at any instant, and started again ends with the same parameters bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from endodav_jax.errors import EXIT_PREEMPTED

ROOT = Path(__file__).parents[2]
STEPS = 12

pytestmark = pytest.mark.slow


def start(workdir: Path) -> subprocess.Popen:
    """Starts the toy run in a process of its own."""
    return subprocess.Popen(
        [
            sys.executable, "-m", "endodav_jax.main", f"--config={ROOT / 'configs' / 'smoke.py'}",
            f"--workdir={workdir}", f"--config.train.steps={STEPS}", "--config.train.save_every=3",
            "--config.train.validation_frames=2",
        ],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def finish(workdir: Path) -> str:
    """Lets a run go on to its end and returns what it printed."""
    process = start(workdir)
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
        lambda: logged_steps(tmp_path) >= 8,
    ):
        process = start(tmp_path)
        wait_for(process, condition)
        process.kill()
        process.wait()
    printed = finish(tmp_path)
    assert f"of {STEPS}" in printed
    assert last_checksums(tmp_path) == last_checksums(uninterrupted)


def test_termination_saves_and_exits_with_its_own_code(uninterrupted, tmp_path):
    process = start(tmp_path)
    wait_for(process, lambda: logged_steps(tmp_path) >= 1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=1200)
    assert process.returncode == EXIT_PREEMPTED
    steps = [int(path.name) for path in (tmp_path / "checkpoints" / "last").iterdir()]
    assert steps
    assert not (tmp_path / "model").exists()
    assert f"going on from step {max(steps)} of {STEPS}" in finish(tmp_path)
    assert last_checksums(tmp_path) == last_checksums(uninterrupted)


def test_a_run_leaves_logs_pictures_and_a_model(uninterrupted):
    assert logged_steps(uninterrupted) == STEPS
    validation = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()]
    validation = [line for line in validation if line["kind"] == "validation"]
    assert validation
    assert {"abs_rel", "rmse", "tae"} <= set(validation[-1])
    assert list((uninterrupted / "pictures").glob("*.png"))
    assert (uninterrupted / "model" / "card.json").is_file()
    assert list((uninterrupted / "checkpoints" / "best").iterdir())
