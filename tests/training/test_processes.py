"""A whole run in two processes, as on two hosts: what it writes is that of one process, and it can be resumed."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from endodav_jax.checkpoints import load_model
from endodav_jax.errors import EXIT_OK, EXIT_PREEMPTED
from tests.training.test_kill_and_resume import logged_steps, wait_for

ROOT = Path(__file__).parents[2]
PROCESSES = 2

pytestmark = [pytest.mark.slow, pytest.mark.long]


def start(workdir: Path, steps: int) -> list[subprocess.Popen]:
    """Starts both processes at once: with a phantom to render, validation after each epoch, and a model at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        f"--config={ROOT / 'configs' / 'smoke.py'}", f"--workdir={workdir}", f"--config.train.steps={steps}",
        "--config.train.save_every=3", "--config.train.log_every=1", "--config.train.validation_frames=2",
        "--config.train.resnet_layers=10", "--config.data.batch_size=2",
        f"--config.train.coordinator=127.0.0.1:{port}", f"--config.train.processes={PROCESSES}",
    ]  # fmt: skip
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "tests.training.quick_run"]
    return [
        subprocess.Popen(
            [*command, *words, f"--config.train.process={i}"],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for i in range(PROCESSES)
    ]  # fmt: skip


def finish(running: list[subprocess.Popen], code: int = EXIT_OK) -> str:
    """Waits for both, which must exit with `code`; returns what the first printed."""
    said = [process.communicate(timeout=1200) for process in running]
    assert [process.returncode for process in running] == [code] * PROCESSES, "\n".join(err[-2000:] for _, err in said)
    return said[0][0]


def weights_of(folder: Path) -> dict:
    return load_model(folder)[1]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    finish(start(workdir, 6))
    return workdir


def test_two_processes_write_one_set_of_data_logs_and_networks(uninterrupted):
    assert logged_steps(uninterrupted) == 6
    for folder in ("model", "model_best"):
        assert "depth" in weights_of(uninterrupted / folder)
    assert not list(uninterrupted.rglob("*.part*"))


def test_two_processes_that_start_a_finished_run_again_end_together(uninterrupted):
    finish(start(uninterrupted, 6))
    assert logged_steps(uninterrupted) == 6


def test_two_processes_stop_together_and_end_as_if_they_had_not(uninterrupted, tmp_path):
    running = start(tmp_path, 6)
    wait_for(running[0], lambda: logged_steps(tmp_path) >= 2)
    running[1].send_signal(signal.SIGTERM)  # one of them is told
    finish(running, EXIT_PREEMPTED)
    assert not (tmp_path / "model").exists()
    assert "resuming from step" in finish(start(tmp_path, 6))
    jax.tree.map(np.testing.assert_array_equal, weights_of(tmp_path / "model"), weights_of(uninterrupted / "model"))
