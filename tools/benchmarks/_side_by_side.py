"""All runtimes in one run, each in its own process, measured in turns; optionally with the published network."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import _machine, _networks

from endodav_jax.plain_table import plain_table
from endodav_jax.runtimes.choose import processor_has_bfloat16

TOOLS = Path(__file__).parents[1]
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
        """The next line of JSON, past what the process says besides; None if it has ended."""
        line = next((line for line in self.process.stdout if line.startswith("{")), "")
        return json.loads(line) if line else None


def measure(args, turns: int) -> dict:
    """Figures of every installed runtime, in each precision that it supports; missing ones are named."""
    config, _ = _networks.network(args.family, args.preset, args.weights)
    weights = str(Path(args.weights).resolve()) if Path(args.weights).exists() and args.weights else args.weights
    wanted = {"family": args.family, "preset": args.preset, "weights": weights, "size": args.size}
    commands, missing = [], []
    for runtime, precision in rivals():
        if args.only and f"{runtime}:{precision}" not in args.only:
            continue
        if absent := [name for name in PACKAGES.get(runtime, ()) if importlib.util.find_spec(name) is None]:
            missing.append(f"{runtime} {precision}: {absent[0]} is not installed")
            continue
        request = wanted | {"runtime": runtime, "precision": precision, "stream": args.stream}
        commands.append((runtime, precision, [sys.executable, "-m", "benchmarks._runner", json.dumps(request)]))
    if not processor_has_bfloat16():
        missing.append("openvino bfloat16: not on this processor")
    if args.published and not args.stream:
        commands += _published(args, config)
    runners = _started(commands, missing)
    for _ in range(turns):
        for runner in list(runners):
            runner.process.stdin.write("go\n")
            runner.process.stdin.flush()
            figures = runner.answer()
            if figures is None:
                runners.remove(runner)
                missing.append(f"{runner.name} {runner.precision}: ended while it ran")
            else:
                runner.figures.append(figures)
    if not runners:
        raise SystemExit("nothing could be measured: " + "; ".join(missing))
    for runner in runners:
        runner.process.stdin.close()
        runner.process.wait()
    return {
        "machine": _machine.describe(),
        "network": {"family": config.family, "preset": config.preset, "image_shape": list(config.image_shape)},
        "measured": "stream" if args.stream else "video",
        "turns": turns,
        "missing": missing,
        "runtimes": [
            {"runtime": r.name, "precision": r.precision, "said": r.said, "turns": r.figures,
             **{key: min(turn[key] for turn in r.figures) for key in ("ms", "processor_ms")},
             "peak_mb": r.figures[-1]["peak_mb"]} for r in runners if r.figures
        ],
    }  # fmt: skip


def rivals() -> list[tuple[str, str]]:
    """(runtime, precision) of all that this package can run here."""
    found = [("jax", "float32"), ("jax", "bfloat16"), ("onnxruntime", "float32"), ("openvino", "float32")]
    if processor_has_bfloat16():
        found.append(("openvino", "bfloat16"))
    return [*found, ("openvino", "int8")]


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


def _published(args, config) -> list[tuple[str, str, list[str]]]:
    """(name, precision, command) of the published network in both precisions."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    clone = str(Path(args.published).resolve())
    request = {"clone": clone, "preset": args.preset, "image_shape": config.image_shape, "threads": threads}
    return [
        ("published", precision, [args.published_python, "-m", "benchmarks._published",
                                  json.dumps(request | {"precision": precision})])
        for precision in ("float32", "bfloat16")
        if not args.only or f"published:{precision}" in args.only
    ]  # fmt: skip


def _started(commands: list, missing: list[str]) -> list[Runner]:
    """Starts the processes one after the other, so that none is measured while another compiles."""
    runners = []
    for name, precision, command in commands:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TOOLS)
        runner = Runner(name, precision, process)
        answer = runner.answer()
        if answer is None:
            missing.append(f"{name} {precision}: did not start")
            continue
        runner.said = answer["said"]
        runners.append(runner)
    return runners
