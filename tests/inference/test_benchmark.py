"""The benchmark counts what it says and runs as its help says."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def machine():
    """The module `tools/benchmarks/_machine.py`."""
    spec = importlib.util.spec_from_file_location("benchmark_machine", TOOLS / "benchmarks" / "_machine.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def counted(machine, function, *shapes) -> int:
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return machine.matrix_flops(jax.jit(function).trace(*arrays).jaxpr.jaxpr)


def test_matrix_products_and_convolutions_are_counted(machine):
    assert counted(machine, jnp.matmul, (5, 7), (7, 3)) == 2 * 5 * 7 * 3
    assert counted(machine, lambda a, b: jnp.einsum("bij,bkj->bik", a, b), (4, 5, 7), (4, 3, 7)) == 2 * 4 * 5 * 7 * 3

    def convolution(image, kernel):
        return jax.lax.conv_general_dilated(image, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    assert counted(machine, convolution, (2, 8, 9, 3), (3, 3, 3, 6)) == 2 * (3 * 3 * 3) * (2 * 8 * 9 * 6)


def test_loops_are_counted_as_often_as_they_run(machine):
    assert counted(machine, lambda a: jax.lax.map(lambda x: x @ x, a), (6, 4, 4)) == 6 * 2 * 4**3


@pytest.mark.slow
def test_inference_is_measured_in_one_run(tmp_path):
    path = tmp_path / "figures.json"
    command = ["inference", "--preset", "vitt", "--frames", "88", "--size", "64x80", "--json", str(path)]
    printed = subprocess.run(
        [sys.executable, str(TOOLS / "benchmark.py"), *command], capture_output=True, text=True, check=True
    ).stdout
    assert "per output frame" in printed
    figures = json.loads(path.read_text())
    assert figures["compile_seconds"]["from_cache"] < figures["compile_seconds"]["cold"]
    assert figures["share_of_matrix_rate"] > 0
    # By twos, 22 frames are encoded and 30 decoded: the shared ones once, the context frames not at all.
    by_program = {name: counts["counted"] for name, counts in figures["gflop_by_program"].items()}
    expected = 11 * by_program["encode"] + by_program["coarse"] + 15 * by_program["fine"]
    assert figures["gflop_per_window"] == pytest.approx(expected)
