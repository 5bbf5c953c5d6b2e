"""Measures this program on an accelerator, in one command whose result can be sent to us, in at most ten minutes.

    python tools/benchmark.py accelerator --json accelerator.json

It measures inference of vits and vitb in both precisions, batching windows until memory runs out or more do not help,
with cuDNN's attention and XLA's; training steps on one device and on all; and agreement with the published programs'
numbers.  Every part runs in its own process, so that each has the whole memory of the device and a failure affects no
other part: its error is recorded in the result.  It also runs without an accelerator, which is useful only with
`--tiny`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import _options

from endodav_jax.errors import UserError

HELP = "inference, training and agreement on an accelerator, in ten minutes, as one file to send"
BENCHMARK = Path(__file__).parents[1] / "benchmark.py"
LONGEST_PART_SECONDS = 330  # a training step took 300 s to compile on a GPU, beside other programs
ALL_DEVICES = "all devices"  # at the end of a part's name; every other part sees the first GPU alone

MACHINE = "machine, all devices"
TRAINING_ON_ONE, TRAINING_ON_ALL = "training vits bfloat16", "training vits bfloat16 all devices"

# The most valuable first, in case time runs out: (name, arguments of the part).
PARTS: dict[str, tuple[str, ...]] = {
    MACHINE: ("machine",),
    "inference vitb bfloat16 cudnn": ("inference", "vitb", "bfloat16", "cudnn"),
    "agreement": ("agreement",),
    "training vitb bfloat16": ("training", "vitb", "bfloat16"),
    "inference vits bfloat16 cudnn": ("inference", "vits", "bfloat16", "cudnn"),
    TRAINING_ON_ONE: ("training", "vits", "bfloat16"),
    TRAINING_ON_ALL: ("training", "vits", "bfloat16"),
    "inference vitb float32 xla": ("inference", "vitb", "float32", "xla"),
    "inference vitb bfloat16 xla": ("inference", "vitb", "bfloat16", "xla"),
    "inference vits float32 xla": ("inference", "vits", "float32", "xla"),
    "inference vits bfloat16 xla": ("inference", "vits", "bfloat16", "xla"),
    "training vitb float32": ("training", "vitb", "float32"),
    "training vits float32": ("training", "vits", "float32"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments."""
    add = parser.add_argument
    add("--json", type=_options.figures_file, default="accelerator.json", help="the result (default: accelerator.json)")
    add(
        "--minutes",
        type=_options.positive,
        default=10.0,
        help="when to stop; parts that are not reached are named (default: 10)",
    )
    add("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help="; ".join(PARTS))
    add("--tiny", action="store_true", help="the smallest network and few steps, to see whether it runs")
    add("--alone", nargs="+", help=argparse.SUPPRESS)  # a part as each process is started with it


def run_arguments(args: argparse.Namespace) -> None:
    """Runs all parts, prints what they found and writes the file; or one part, in the process of its own.

    Raises:
      UserError: every part failed.
    """
    if args.alone:
        from benchmarks import _accelerator_parts

        _accelerator_parts.run(args.alone, args.json, args.tiny)
        return
    started, results = time.monotonic(), {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only:
            left = 60 * args.minutes - (time.monotonic() - started)
            one_device = results.get(MACHINE, {}).get("figures", {}).get("devices") == 1
            if name == TRAINING_ON_ALL and one_device and "error" not in results.get(TRAINING_ON_ONE, {"error": ""}):
                results[name] = {"figures": {}, "seconds": 0.0, "same_as": TRAINING_ON_ONE}
            else:
                limit = left if args.tiny else min(left, _longest(args.minutes))
                results[name] = _run_part(name, args.tiny, limit, Path(folder))
            print(_line(name, results[name]), flush=True)
            # After each part, so that the figures so far are kept whatever ends this program.
            whole = {"tiny": args.tiny, "seconds": time.monotonic() - started, "parts": results}
            _options.write_figures(whole, args.json)
    if all("error" in result for result in results.values()):
        raise UserError(f"no part could be measured; {args.json} has the error of each")
    print(f'written: {args.json}; please send it: docs/cluster.md, "Help us measure"')


def _longest(minutes: float) -> float:
    """Seconds that a part may take: a third of the time, if that suffices to compile a training step."""
    return max(LONGEST_PART_SECONDS, 20 * minutes)


def _run_part(name: str, tiny: bool, limit: float, folder: Path) -> dict:
    """The figures of one part, and its error: what it measured before it failed is kept."""
    if limit < 5:
        return {"error": "not run: the time was over; give more --minutes", "seconds": 0.0}
    path = folder / "part.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, str(BENCHMARK), "accelerator", "--json", str(path), *(["--tiny"] if tiny else [])]
    environment = dict(os.environ)
    if not name.endswith(ALL_DEVICES):
        environment["CUDA_VISIBLE_DEVICES"] = environment.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    command += ["--alone", *PARTS[name]]
    started, error = time.monotonic(), None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=environment)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["nothing on stderr"]
            error = f"exit code {done.returncode}: {lines[-1]}"
    except subprocess.TimeoutExpired as late:
        said = (late.stderr or b"").decode(errors="replace").strip().splitlines()  # bytes in spite of `text`
        error = f"stopped after {limit:.0f} s" + (f", after: {said[-1]}" if said else "")
    try:
        figures = json.loads(path.read_text()) if path.exists() else {}
    except ValueError:  # stopped while it wrote
        figures = {}
    result = {"figures": figures, "seconds": time.monotonic() - started}
    return result | ({"error": error} if error else {})


def _line(name: str, result: dict) -> str:
    """A part in one line."""
    figures, said = result.get("figures", {}), []
    if "best" in figures:
        best = figures["best"]
        said.append(f"{best['ms_per_output_frame']:.3f} ms a frame by {best['windows']} windows")
        said.append(f"{100 * best['share_of_matrix_rate']:.0f}% of the matrix rate")
    if "steps_per_second" in figures:
        said.append(f"{figures['steps_per_second']:.2f} steps/s with {figures['clips']} clips")
        said.append(f"{100 * figures['share_of_matrix_rate']:.0f}% of the matrix rate")
    said += [f"{case}: {error:.1e}" for case, error in figures.get("largest_difference", {}).items()]
    if "device" in figures:
        said.append(f"{figures['devices']} x {figures['device']}, jax {figures['jax']}")
    if "peak_memory" in figures:
        said.append(", ".join(f"{kind.removesuffix('_mb')} {mb:.0f} MB" for kind, mb in figures["peak_memory"].items()))
    if "same_as" in result:
        said.append(f"one device: as {result['same_as']}")
    if "error" in result:
        said.append(f"FAILED: {result['error']}")
    return f"{name} ({result['seconds']:.0f} s): {'; '.join(said)}"
