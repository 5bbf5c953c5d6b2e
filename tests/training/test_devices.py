"""Sharing a batch out over devices and processes does not change what is learned."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.long]


def run(out: Path, devices: int, processes: int = 1, **objective) -> dict[str, np.ndarray]:
    """Trains three steps on four clips, with these fields of the objective, and returns what was learned."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    workers = [
        subprocess.Popen(
            [
                sys.executable, "-m", "tests.training.devices_worker", out, json.dumps(objective),
                *map(str, (devices, processes, i, port)),
            ],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(processes)
    ]  # fmt: skip
    errors = []
    for worker in workers:
        if any(other.returncode for other in workers):
            worker.kill()  # it would wait for the others for long
        errors.append(worker.communicate()[1])
    assert not any(worker.returncode for worker in workers), errors[0][-2000:]
    with np.load(out) as file:
        return dict(file)


def differences(found, wanted, part) -> tuple[float, float]:
    """||found - wanted|| / ||wanted|| of all arrays of a part as one, and the largest of any that is not all zero."""
    names = [name for name in wanted if name.startswith(part)]
    off = np.array([np.linalg.norm(found[name] - wanted[name]) for name in names])
    size = np.array([np.linalg.norm(wanted[name]) for name in names])
    known = size > 1e-12
    return np.linalg.norm(off) / np.linalg.norm(size), (off[known] / size[known]).max()


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    return run(tmp_path_factory.mktemp("one") / "out.npz", 1)


@pytest.mark.parametrize(("devices", "processes"), [(4, 1), (2, 2)])
def test_devices_and_processes_learn_what_one_device_learns(one_device, tmp_path, devices, processes):
    assert_learned_alike(run(tmp_path / "out.npz", devices, processes), one_device)


def test_devices_share_what_the_relative_objective_compares_with(tmp_path):
    one, shared = (run(tmp_path / f"{devices}.npz", devices, projection_relative=True) for devices in (1, 2))
    assert_learned_alike(shared, one)


def assert_learned_alike(shared, one_device) -> None:
    assert shared["loss"] == pytest.approx(float(one_device["loss"]), rel=1e-5)
    # Sums in another order, in float32.  First moments, means of three gradients, tell gradients apart; measured:
    # 2e-4 together, 1e-3 for the array that is most of all a small difference of large sums.  A gradient that is not
    # averaged would be off by more than half.
    together, largest = differences(shared, one_device, "moments/")
    assert together < 1e-3
    assert largest < 1e-2
    assert differences(shared, one_device, "statistics/")[1] < 1e-5
    assert differences(shared, one_device, "params/")[0] < 1e-5
    # Adam moves an entry whose gradient is noise by up to the learning rate (1e-4) a step either way.
    for name in (name for name in one_device if name.startswith("params/")):
        assert np.abs(shared[name] - one_device[name]).max() <= 6.1e-4, name
