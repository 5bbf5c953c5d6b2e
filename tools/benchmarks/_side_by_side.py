"""All runtimes in one run, each in its own process, measured in turns; optionally with the published network."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import _machine, _networks

from endodav_jax.errors import UserError
from endodav_jax.plain_table import plain_table
from endodav_jax.runtimes.choose import processor_has_bfloat16

TOOLS = Path(__file__).parents[1]
PRECISIONS = {
    "jax": ("float32", "bfloat16"),
    "onnxruntime": ("float32",),
    "openvino": ("float32", "bfloat16", "int8"),
    "published": ("float32", "bfloat16"),
}
PAIRS = [f"{runtime}:{precision}" for runtime, precisions in PRECISIONS.items() for precision in precisions]
PACKAGES = {"onnxruntime": ("onnxruntime", "jax2onnx"), "openvino": ("openvino", "jax2onnx")}


@dataclasses.dataclass
class Runner:
    """A process that measures.

    Attributes:
      name: of the runtime.
      precision: of its activations.
      process: answers a line of JSON to each line.
      said: what it says that it runs, and why.
      figures: of each turn.
    """

    name: str
    precision: str
    process: subprocess.Popen
    said: str = ""
    figures: list[dict] = dataclasses.field(default_factory=list)

    def answer(self) -> dict | None:
        """The next line of JSON, past what the process says besides; None if it has ended, also within the line."""
        line = next((line for line in self.process.stdout if line.startswith("{")), "")
        return json.loads(line) if line.endswith("\n") else None

    def turn(self) -> dict | None:
        """The figures of one turn; None if the process has ended."""
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # of that process: uncaught, it would be taken for one of this program's output
            return None
        return self.answer()

    def end(self) -> None:
        """Ends the process, and waits for it; also one that has ended by itself."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def measure(args, turns: int) -> dict:
    """Figures of every installed runtime, in each precision that it supports; missing ones are named.

    Raises:
      UserError: nothing could be measured.
    """
    config, _ = _networks.network(args.family, args.preset, args.weights)
    clone = "" if args.stream else args.published or importable_clone()
    weights = str(Path(args.weights).resolve()) if Path(args.weights).exists() and args.weights else args.weights
    wanted = {"family": args.family, "preset": args.preset, "weights": weights, "size": args.size}
    commands, missing = [], []
    if not (clone or args.stream or args.only):
        missing.append("the published network, in PyTorch: add --published with a clone of Video-Depth-Anything")
    for runtime, precision in _wanted(args.only, bool(clone)):
        if (runtime, precision) == ("openvino", "bfloat16") and not processor_has_bfloat16():
            missing.append("openvino bfloat16: not on this processor")
            continue
        if absent := [name for name in PACKAGES.get(runtime, ()) if importlib.util.find_spec(name) is None]:
            missing.append(f"{runtime} {precision}: {absent[0]} is not installed")
            continue
        if runtime == "published":
            commands.append((runtime, precision, _published(args, clone, config, precision)))
            continue
        request = wanted | {"runtime": runtime, "precision": precision, "stream": args.stream}
        commands.append((runtime, precision, [sys.executable, "-m", "benchmarks._runner", json.dumps(request)]))
    runners = take_turns(_started(commands, missing), turns, missing)
    if not runners:
        raise UserError("nothing could be measured: " + "; ".join(missing))
    return {
        "machine": _machine.describe(),
        "network": {"family": config.family, "preset": config.preset, "image_shape": list(config.image_shape)},
        "measured": "stream" if args.stream else "video",
        "turns": turns,
        "missing": missing,
        "runtimes": [
            {"runtime": r.name, "precision": r.precision, "said": r.said, "turns": r.figures,
             **{key: min(turn[key] for turn in r.figures) for key in ("ms", "processor_ms")},
             "peak_mb": r.figures[-1]["peak_mb"]} for r in runners
        ],
    }  # fmt: skip


def take_turns(runners: list[Runner], turns: int, missing: list[str]) -> list[Runner]:
    """Has each measure in turn, and ends them; returns those that lived through all turns, and names the others."""
    living = list(runners)
    for _ in range(turns):
        for runner in list(living):
            figures = runner.turn()
            if figures is None:
                living.remove(runner)
                missing.append(f"{runner.name} {runner.precision}: ended while it ran")
            else:
                runner.figures.append(figures)
    for runner in runners:
        runner.end()
    return living


def report(figures: dict) -> str:
    """The figures as a table, least time first; shares are of the published network's, or of JAX's, in float32."""
    found = sorted(figures["runtimes"], key=lambda entry: entry["processor_ms"])
    base = {(entry["runtime"], entry["precision"]): entry for entry in found}
    against = base.get(("published", "float32")) or base.get(("jax", "float32")) or found[0]
    rows = [
        (entry["runtime"], entry["precision"], f"{entry['ms']:.1f}", f"{entry['processor_ms']:.1f}",
         f"{entry['processor_ms'] / against['processor_ms']:.2f}", f"{entry['peak_mb']:.0f}")
        for entry in found
    ]  # fmt: skip
    network, machine = figures["network"], figures["machine"]
    title = f"{figures['measured']}: {network['family']} {network['preset']} at {network['image_shape']}, {machine}"
    share = f"share of {against['runtime']} float32"
    table = plain_table([("runtime", "precision", "ms a frame", "processor ms", share, "peak MB"), *rows], left=2)
    notes = [f"{entry['runtime']} {entry['precision']}: {entry['said']}" for entry in found]
    return "\n".join([title, *table, *notes, *(f"not measured: {line}" for line in figures["missing"])])


def _wanted(only: Sequence[str], published: bool) -> list[tuple[str, str]]:
    """(runtime, precision) of all that are to be measured."""
    pairs = [tuple(pair.split(":")) for pair in PAIRS if not only or pair in only]
    return [(runtime, precision) for runtime, precision in pairs if runtime != "published" or published]


def importable_clone() -> str:
    """The folder of a clone of Video-Depth-Anything that this Python imports, if it has PyTorch as well; "" if not."""
    package = importlib.util.find_spec("video_depth_anything")
    if package is None or importlib.util.find_spec("torch") is None:
        return ""
    return str(Path(next(iter(package.submodule_search_locations or [""]))).parent)


def _published(args, clone: str, config, precision: str) -> list[str]:
    """The command that runs the published network."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    request = {
        "clone": str(Path(clone).resolve()),
        "preset": args.preset,
        "image_shape": config.image_shape,
        "threads": threads,
    }
    return [args.published_python, "-m", "benchmarks._published", json.dumps(request | {"precision": precision})]


def _started(commands: list, missing: list[str]) -> list[Runner]:
    """Starts the processes one after the other, so that none is measured while another compiles."""
    runners = []
    for name, precision, command in commands:
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TOOLS)
        except OSError as error:
            missing.append(f"{name} {precision}: did not start ({command[0]}: {error.strerror})")
            continue
        runner = Runner(name, precision, process)
        answer = runner.answer()
        if answer is None:
            runner.end()
            missing.append(f"{name} {precision}: did not start")
            continue
        runner.said = answer["said"]
        runners.append(runner)
    return runners
