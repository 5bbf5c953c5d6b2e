"""The benchmark of an accelerator keeps what each part measures, whatever becomes of the others."""

import argparse
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from endodav_jax.errors import UserError

TOOLS = Path(__file__).parents[2] / "tools"

# Stands for the program of a part: it writes figures, and then does what the part's last argument says.
PART = """
import json, os, sys, time
from pathlib import Path

path, does = Path(sys.argv[sys.argv.index("--json") + 1]), sys.argv[-1]
path.write_text(json.dumps({"seen": os.environ.get("CUDA_VISIBLE_DEVICES"), "peak_memory": {"device_mb": 7.0}}))
if does == "fails":
    sys.exit("no such thing here")
if does == "hangs":
    time.sleep(60)
"""


@pytest.fixture
def accelerator(tmp_path, monkeypatch):
    """The module `tools/benchmarks/accelerator.py`, whose parts are small programs."""
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location("benchmark_accelerator", TOOLS / "benchmarks" / "accelerator.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    program = tmp_path / "part.py"
    program.write_text(PART)
    parts = {"good": ("good",), "bad": ("fails",), "slow": ("hangs",), "all devices": ("good",)}
    monkeypatch.setattr(module, "PARTS", parts)
    monkeypatch.setattr(module, "BENCHMARK", program)
    return module


def measured(accelerator, path: Path, *arguments: str) -> dict:
    parser = argparse.ArgumentParser()
    accelerator.add_arguments(parser)
    accelerator.run_arguments(parser.parse_args(["--json", str(path), *arguments]))
    return json.loads(path.read_text())["parts"]


def test_a_part_that_fails_or_hangs_takes_no_other_with_it(accelerator, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(accelerator, "_longest", lambda minutes: 5)
    parts = measured(accelerator, tmp_path / "out.json", "--only", "bad", "slow", "good")
    assert parts["bad"]["error"] == "exit code 1: no such thing here"
    assert parts["slow"]["error"] == "stopped after 5 s"
    assert "error" not in parts["good"]
    for part in parts.values():
        assert part["figures"]["peak_memory"] == {"device_mb": 7.0}
    printed = capsys.readouterr().out
    assert "FAILED: exit code 1: no such thing here" in printed
    assert "device 7 MB" in printed


def test_parts_that_time_does_not_reach_are_named(accelerator, tmp_path):
    path = tmp_path / "out.json"
    with pytest.raises(UserError, match=r"no part could be measured; .*out.json has the error of each"):
        measured(accelerator, path, "--minutes", "0.01", "--only", "good", "bad")
    parts = json.loads(path.read_text())["parts"]
    assert all("the time was over" in part["error"] for part in parts.values())


def test_a_run_whose_parts_all_fail_fails(accelerator, tmp_path, capsys):
    path = tmp_path / "out.json"
    with pytest.raises(UserError, match="no part could be measured"):
        measured(accelerator, path, "--only", "bad")
    assert json.loads(path.read_text())["parts"]["bad"]["error"] == "exit code 1: no such thing here"
    assert "please send it" not in capsys.readouterr().out


def test_a_device_too_small_for_one_window_says_so(monkeypatch):
    import jax

    monkeypatch.syspath_prepend(str(TOOLS))
    parts = importlib.import_module("benchmarks._accelerator_parts")

    def out_of_memory(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory\nand a long story")

    monkeypatch.setattr(parts, "_device_pass", out_of_memory)
    monkeypatch.setattr(parts._machine, "matrix_rate", lambda _: 1.0)
    written = []
    with pytest.raises(SystemExit, match=r"^1 windows: RESOURCE_EXHAUSTED: out of memory$"):
        parts.inference("vitt", "float32", "xla", tiny=True, write=written.append)
    assert written[-1]["ended_by"] == "1 windows: RESOURCE_EXHAUSTED: out of memory"


def test_a_part_sees_one_gpu_unless_it_is_about_all(accelerator, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    parts = measured(accelerator, tmp_path / "out.json", "--only", "good", "all devices")
    assert parts["good"]["figures"]["seen"] == "2"
    assert parts["all devices"]["figures"]["seen"] == "2,3"


def test_the_only_device_is_not_measured_twice(accelerator, tmp_path, monkeypatch, capsys):
    machine, one, every = accelerator.MACHINE, accelerator.TRAINING_ON_ONE, accelerator.TRAINING_ON_ALL
    monkeypatch.setattr(accelerator, "PARTS", {machine: ("good",), one: ("good",), every: ("fails",)})
    accelerator.BENCHMARK.write_text(PART.replace('"seen"', '"devices": 1, "seen"'))
    parts = measured(accelerator, tmp_path / "out.json", "--only", machine, one, every)
    assert parts[every] == {"figures": {}, "seconds": 0.0, "same_as": one}
    assert f"one device: as {one}" in capsys.readouterr().out
    assert "error" in measured(accelerator, tmp_path / "out.json", "--only", machine, every)[every], "nothing to copy"
    accelerator.BENCHMARK.write_text(PART.replace('"seen"', '"devices": 2, "seen"'))
    assert "error" in measured(accelerator, tmp_path / "out.json", "--only", machine, one, every)[every]


@pytest.mark.parametrize(("minutes", "seconds"), [(5, 330), (10, 330), (40, 800)])
def test_more_minutes_leave_a_part_more_time(accelerator, minutes, seconds):
    assert accelerator._longest(minutes) == seconds


@pytest.mark.slow
@pytest.mark.long
def test_it_runs_without_an_accelerator(tmp_path):
    path = tmp_path / "out.json"
    names = [
        "machine, all devices",
        "inference vits float32 xla",
        "inference vitb bfloat16 cudnn",
        "training vits float32",
    ]
    command = [sys.executable, str(TOOLS / "benchmark.py"), "accelerator", "--tiny", "--minutes", "20"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    subprocess.run([*command, "--json", str(path), "--only", *names], check=True, env=environment)
    machine, inference, fused, training = (json.loads(path.read_text())["parts"][name] for name in names)
    assert machine["figures"]["backend"] == "cpu"
    assert inference["figures"]["best"]["ms_per_output_frame"] > 0
    assert 0 < inference["figures"]["best"]["share_of_matrix_rate"] < 1.5
    assert "cuDNN" in fused["error"]
    assert training["figures"]["steps_per_second"] > 0
    assert not {"error"} & (machine.keys() | inference.keys() | training.keys())
