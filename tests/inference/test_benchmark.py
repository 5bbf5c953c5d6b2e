"""The benchmark counts what it says and runs as its help says."""

import importlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from endodav_jax import cli
from endodav_jax.errors import EXIT_OK, EXIT_USER_ERROR, UserError

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def machine():
    """The module `tools/benchmarks/_machine.py`."""
    spec = importlib.util.spec_from_file_location("benchmark_machine", TOOLS / "benchmarks" / "_machine.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tool(name: str):
    """A module of `tools/benchmarks`, imported as `tools/benchmark.py` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOOLS))
        return importlib.import_module(f"benchmarks.{name}")


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


def test_the_bytes_of_a_product_are_those_of_its_operands_and_its_result(machine):
    arrays = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in ((6, 5, 7), (6, 7, 3))]
    looped = jax.jit(lambda a, b: jax.lax.map(lambda pair: pair[0] @ pair[1], (a, b))).trace(*arrays)
    assert machine.matrix_bytes(looped.jaxpr.jaxpr) == 6 * 2 * (5 * 7 + 7 * 3 + 5 * 3)


def test_a_program_s_roof_is_the_matrix_rate_or_what_memory_allows():
    entry = {"precision": "float32", "frames": 2, "processor_ms": 20.0, "gflop": 1.0, "gflops": 50.0, "types": {}}
    figures = {
        "machine": {}, "network": {"family": "vda", "preset": "vits", "image_shape": [224, 280]},
        "matrix_gflops": {"float32": 100.0}, "memory_gb_per_s": 10.0,
        "programs": [{"program": "encode", "flop_per_byte": 40.0, **entry},
                     {"program": "fine", "flop_per_byte": 6.0, **entry}],
    }  # fmt: skip
    lines = tool("programs").report(figures).splitlines()
    assert [line.split()[-4:] for line in lines[3:5]] == [["40", "100", "50", "50%"], ["6", "60", "50", "83%"]]


def test_the_types_that_a_compiled_program_computes_in_are_told():
    types = tool("programs").types_of(
        "%fused (p: bf16[4,1000]) -> f32[4,1000] {\n"
        "  %p.1 = bf16[4,1000]{1,0} parameter(0)\n"
        "  %wide = f32[4,1000]{1,0} convert(%p.1)\n"
        "  ROOT %dot.1 = f32[4,1000]{1,0} dot(%wide, %wide), lhs_contracting_dims={1}\n"
        "}\n"
        "%wrapped_convert_computation (p: f32[2,1000]) -> bf16[2,1000] {\n"
        "  %q = f32[2,1000]{1,0} parameter(0)\n"
        "  ROOT %narrow = bf16[2,1000]{1,0} convert(%q)\n"
        "}\n"
    )
    assert types["products"] == {"f32 to f32": 0.004}
    assert types["conversions"] == {"bf16 to f32": 0.004}
    assert types["conversions by themselves"] == {"f32 to bf16": 0.002}
    assert types["convolutions"] == {}


def test_runtimes_stand_beside_one_another_with_their_shares_and_what_is_missing():
    fast, slow = {"ms": 5.0, "processor_ms": 4.0, "peak_mb": 9.0}, {"ms": 20.0, "processor_ms": 16.0, "peak_mb": 8.0}
    figures = {
        "machine": {}, "network": {"family": "vda", "preset": "vits", "image_shape": [224, 280]}, "measured": "video",
        "missing": ["openvino bfloat16: not on this processor"],
        "runtimes": [{"runtime": "jax", "precision": "float32", "said": "runtime jax", **slow},
                     {"runtime": "openvino", "precision": "int8", "said": "int8: fine everything", **fast}],
    }  # fmt: skip
    lines = tool("_side_by_side").report(figures).splitlines()
    assert [line.split()[:2] for line in lines[2:4]] == [["openvino", "int8"], ["jax", "float32"]]
    assert lines[2].split()[-2:] == ["0.25", "9"]
    assert lines[-1] == "not measured: openvino bfloat16: not on this processor"


def test_a_clone_that_python_imports_is_run_where_there_is_pytorch(tmp_path, monkeypatch):
    tools = tool("_side_by_side")
    (tmp_path / "video_depth_anything").mkdir()
    (tmp_path / "video_depth_anything" / "video_depth.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    real = importlib.util.find_spec
    with_pytorch = {"torch"}
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: (real("json") if with_pytorch else None) if name == "torch" else real(name),
    )
    assert Path(tools.importable_clone()) == tmp_path
    with_pytorch.clear()
    assert tools.importable_clone() == ""


def test_what_a_runtime_prints_besides_its_figures_is_passed_over():
    tools = tool("_side_by_side")
    program = "print('no accelerator'); print('{\"ms\": 5}'); print('bye')"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        runner = tools.Runner("any", "float32", process)
        assert runner.answer() == {"ms": 5}
        assert runner.answer() is None


# Stands for a runner: it says what it runs, and ends after as many turns as its argument says.
RUNNER = """
import json, sys
print(json.dumps({"said": "runs"}), flush=True)
for _ in range(int(sys.argv[1])):
    if not sys.stdin.readline():
        break
    print(json.dumps({"ms": 5.0}), flush=True)
"""


def test_a_process_that_ends_takes_no_other_s_figures_with_it():
    tools = tool("_side_by_side")
    missing = []
    commands = [(str(turns), "float32", [sys.executable, "-c", RUNNER, str(turns)]) for turns in (0, 1, 9)]
    nowhere = ("nowhere", "float32", ["no-such-python"])
    runners = tools._started([*commands, nowhere], missing)
    runners[0].process.wait()  # as the kernel leaves it that killed it for memory
    assert [runner.name for runner in tools.take_turns(runners, 2, missing)] == ["9"]
    assert runners[2].figures == [{"ms": 5.0}] * 2
    assert missing == [
        "nowhere float32: did not start (no-such-python: No such file or directory)",
        "0 float32: ended while it ran",
        "1 float32: ended while it ran",
    ]


def test_a_line_that_a_process_ended_within_is_no_answer():
    tools = tool("_side_by_side")
    with subprocess.Popen(
        [sys.executable, "-c", "print('{\"ms', end='')"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert tools.Runner("any", "float32", process).answer() is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inference", "--runtime", "all", "--turns", "0"], "--turns: 0: give at least 1"),
        (["inference", "--runtime", "all", "--only", "jax:float32", "tensorrt:float32"], "openvino:int8"),
        (["inference", "--runtime", "all", "--only", "published:float32"], "needs --published CLONE"),
        (["inference", "--runtime", "all", "--published", "clone", "--stream"], "has no stream"),
        (["inference", "--runtime", "all", "--frames", "200"], "--frames: means nothing with --runtime all"),
        (["inference", "--turns", "3"], "--turns: means nothing with --runtime jax"),
        (["inference", "--frames", "87"], "--frames: 87: give at least 88"),
        (["inference", "--batching", "2,0"], "--batching: 0: give at least 1"),
        (["inference", "--size", "0x320"], "--size"),
        (["inference", "--json", "."], "is a folder; name a file"),
        (["accelerator", "--json", "file/figures.json"], "is not a folder"),
        (["accelerator", "--minutes", "nan"], "--minutes: nan: give a number above 0"),
        (["accelerator", "--minutes", "-1"], "--minutes"),
        (["accelerator", "--minutes", "inf"], "--minutes"),
        (["adapters", "--workdir", "out", "--rate", "nan"], "--rate"),
        (["adapters", "--workdir", "out", "--steps", "0"], "--steps"),
        (["data", "--clips", "0"], "--clips"),
        (["data", "--frames", "17"], "--frames 17: give at least 18"),
        (["ladder", "data", "--workdir", "out", "--steps", "0"], "--steps"),
        (["ladder", "data", "--workdir", "out", "--phases", "0,0"], "--phases: '0,0' is not S,T"),
        (["pretrain", "--steps", "0"], "--steps"),
        (["pretrain", "--set", "pretrain.nosuch=1"], "pretrain.nosuch: no such field"),
        (["programs", "--turns", "0"], "--turns"),
        (["render", "--family", "organ", "--tools", "9"], "data.phantom.tools: 9"),
        (["reconstruct", "--sequences", "0"], "--sequences"),
        (["reconstruct", "--memory", "-5"], "--memory"),
        (["reconstruct", "--memory", "5", "--seed", "-1"], "seed: -1 must be in"),
        (["signal", "data", "--sequences", "0"], "--sequences: 0: give at least 1"),
        (["streaming", "--frames", "0"], "--frames"),
        (["train", "--steps", "0"], "--steps"),
        (["train", "--batch", "-1"], "--batch"),
        (["nosuch"], "nosuch"),
    ],
)
def test_options_are_checked_before_anything_is_measured(words, said, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(TOOLS))
    with pytest.raises(UserError) as raised:
        importlib.import_module("benchmark").run(words)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_figures_are_written_whole_into_a_folder_that_is_made(tmp_path):
    options = tool("_options")
    path = options.figures_file(str(tmp_path / "new" / "figures.json"))
    assert not path.parent.exists()
    options.write_figures({"ms": 5}, path)
    with pytest.raises(TypeError):
        options.write_figures({"ms": 6, "not": object()}, path)
    assert json.loads(path.read_text()) == {"ms": 5}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "words",
    [
        ["inference", "--runtime", "all", "--turns", "0"],
        ["signal", "nosuch"],
        ["signal", "phantom:nosuch"],
        ["signal", "phantom:organ", "--frames", "0"],
        ["ladder", "nosuch", "--workdir", "lad", "--set", "nosuch"],
    ],
)
def test_a_users_mistake_is_one_line(words, tmp_path):
    command = [sys.executable, str(TOOLS / "benchmark.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == EXIT_USER_ERROR
    assert done.stderr.count("\n") == 1, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_signal_of_a_prepared_folder_is_measured_split_by_split(tmp_path, monkeypatch, capsys):
    sizes = ["--sequences", "1", "--held-out", "1", "--frames", "12", "--height", "64", "--width", "80"]
    assert cli.main(["prepare", "phantom", "organ", str(tmp_path), *sizes, "--quiet"]) == EXIT_OK
    monkeypatch.syspath_prepend(str(TOOLS))
    tables = []
    for split in ("train", "test"):
        capsys.readouterr()
        importlib.import_module("benchmark").run(["signal", str(tmp_path), "--split", split])
        tables.append(capsys.readouterr().out)
        heading, first, *_ = tables[-1].splitlines()
        assert heading.split("  ")[-1].strip() == "plane"
        interval, *figures = first.replace("%", "").replace(">", "").split()
        assert interval == "1"
        assert all(float(figure) > 0 for figure in figures), "with depth and poses, nothing is missing"
    assert tables[0] != tables[1]
    with pytest.raises(UserError, match="no split 'nosuch' was prepared"):
        importlib.import_module("benchmark").run(["signal", str(tmp_path), "--split", "nosuch"])


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


SIDE_BY_SIDE = ["inference", "--runtime", "all", "--preset", "vitt", "--only", "jax:float32", "--turns", "1"]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ([*SIDE_BY_SIDE], "jax +float32"),
        ([*SIDE_BY_SIDE, "--stream"], "jax +float32"),
        (["programs", "--preset", "vitt", "--turns", "1"], "encode"),
        (["streaming", "--preset", "vitt", "--frames", "3"], "latency_ms"),
        (["signal", "phantom:organ", "--sequences", "1", "--frames", "12", "--size", "64x80"], "parallax px"),
        (["pretrain", "--steps", "1", "--set", "pretrain.clip_length=4"], "clip +4"),
        (["render", "--family", "sinus", "--frames", "8", "--size", "64x80"], r"sinus +\d+"),
    ],
    ids=["side by side", "side by side, live", "programs", "streaming", "signal", "pretrain", "render"],
)  # fmt: skip
def test_a_measurement_measures(tmp_path, words, printed):
    figures = [] if words[0] == "signal" else ["--json", str(tmp_path / "figures.json")]
    done = subprocess.run(
        [sys.executable, str(TOOLS / "benchmark.py"), *words, *figures], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(printed, done.stdout)
    assert not figures or json.loads((tmp_path / "figures.json").read_text())
