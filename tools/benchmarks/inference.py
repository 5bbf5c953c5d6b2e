"""Depth of a long video: milliseconds per output frame and per window, and how much of the machine that uses.

    python tools/benchmark.py inference --preset vitb
    python tools/benchmark.py inference --preset vits --precision bfloat16 --frames 100 --json figures.json

    python tools/benchmark.py inference --preset vits --runtime all --published ../Video-Depth-Anything
    python tools/benchmark.py inference --weights shipped --runtime all --stream

The last two measure all installed runtimes in turns, which gives fair comparisons even on a shared machine.

Memory of a long video against a short one: run it with `--frames 300` and `--frames 3000` (and `--size 1024x1280`) and
compare the peaks.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks import _machine, _networks, _options, _side_by_side

from endodav_jax.errors import UserError
from endodav_jax.fields import size
from endodav_jax.inference import programs
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.inference.timing import paced
from endodav_jax.inference.windowed import Batching
from endodav_jax.inference.windows import OVERLAP, STEP, WINDOW_FRAMES, Window

HELP = "milliseconds per output frame on a long video, and the share of the machine's matrix-product rate"


OF_ONE = ("precision", "frames", "align", "batching")  # options of --runtime jax
OF_ALL = ("turns", "stream", "only", "published", "published_python")  # of --runtime all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments."""
    add = parser.add_argument
    add("--family", choices=_networks.WINDOW_FAMILIES, default="endodav")
    add("--preset", choices=("vitt", "vits", "vitb", "vitl"), default="vitb")
    add("--weights", default="", help="a checkpoint folder; without it, random weights (the same work)")
    add("--precision", choices=("float32", "bfloat16"), default="float32")
    add(
        "--frames",
        type=_options.at_least(4 * STEP),
        default=120,
        help="length of the video, at least four windows (default: 120)",
    )
    add("--size", type=size, default=(256, 320), metavar="HxW", help="of the video's frames (default: 256x320)")
    add("--align", choices=("endodav", "vda", "none"), default="endodav")
    add("--batching", type=_batching, metavar="E,D,W", help="frames encoded and decoded, windows at once")
    add("--runtime", choices=("jax", "all"), default="jax", help="all measures every runtime in every precision")
    add("--stream", action="store_true", help="with --runtime all: a live source's frames instead of a video's")
    add(
        "--turns",
        type=_options.at_least(1),
        default=2,
        help="with --runtime all: measurements of each, of which the least counts",
    )
    add("--only", nargs="+", default=(), choices=_side_by_side.PAIRS, metavar="RUNTIME:PRECISION",
        help=f"with --runtime all: no others than these of {', '.join(_side_by_side.PAIRS)}")  # fmt: skip
    add(
        "--published",
        default="",
        help="with --runtime all: a clone of Video-Depth-Anything, run in PyTorch, too; "
        "not needed where this Python has PyTorch and imports the clone",
    )
    add("--published-python", default=sys.executable, help="the Python that has PyTorch (default: this one)")
    add("--json", type=_options.figures_file, help="write the figures there, too")


def run_arguments(args: argparse.Namespace) -> None:
    """Measures and prints.

    Raises:
      UserError: an option that has no meaning beside the others; nothing could be measured.
    """
    check(args)
    if args.runtime == "all":
        figures = _side_by_side.measure(args, args.turns)
        finish(_side_by_side.report(figures), figures, args.json)
        return
    with tempfile.TemporaryDirectory() as folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        figures = measure(args)
    finish(report(figures), figures, args.json)


def check(args: argparse.Namespace) -> None:
    """Raises `UserError` for an option that would be ignored."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for name in OF_ONE if args.runtime == "all" else OF_ALL:
        if getattr(args, name) != parser.get_default(name):
            raise UserError(f"--{name.replace('_', '-')}: means nothing with --runtime {args.runtime}; omit it")
    if args.published and args.stream:
        raise UserError("--published: the published network has no stream; omit it, or --stream")
    wanted = [pair for pair in args.only if pair.startswith("published:")]
    if wanted and not (args.published or _side_by_side.importable_clone()):
        raise UserError(f"--only {wanted[0]}: needs --published CLONE")


def finish(text: str, figures: dict, path: Path | None) -> None:
    """Prints the figures, and writes them if requested."""
    print(text)
    _options.write_figures(figures, path)


def measure(args: argparse.Namespace) -> dict:
    """All figures, as a tree that JSON can hold."""
    config, params = _networks.network(args.family, args.preset, args.weights)
    estimator = DepthEstimator(config, params, args.precision, args.batching)
    frames = list(_networks.drifting_frames(min(args.frames, 2 * STEP), *args.size))

    cold, _ = compile_all(estimator, args.size)
    jax.clear_caches()
    cached, flops = compile_all(estimator, args.size)

    list(estimator.iter_infer(frames[:1], args.align))  # everything has run once
    video = (frames[i % len(frames)] for i in range(args.frames))
    seconds, per_window = paced(estimator.iter_infer(video, args.align))
    rates = {name: _machine.matrix_rate(jnp.dtype(name)) for name in ("float32", "bfloat16")}
    work = window_flops(flops, args.align, estimator.batching)
    gflops = work / per_window / 1e9
    return {
        "machine": _machine.describe(),
        "network": {"family": args.family, "preset": args.preset, "precision": args.precision},
        "video": {"frames": args.frames, "size": list(args.size), "align": args.align},
        "image_shape": list(config.image_shape),
        "ms_per_output_frame": 1e3 * per_window / STEP,
        "ms_per_output_frame_whole_video": 1e3 * seconds / args.frames,
        "seconds_per_window": per_window,
        "gflop_per_window": work / 1e9,
        "gflop_by_program": {name: {k: v / 1e9 for k, v in counts.items()} for name, counts in flops.items()},
        "gflops_reached": gflops,
        "matrix_gflops": rates,
        "share_of_matrix_rate": gflops / rates[args.precision],
        "compile_seconds": {"cold": cold, "from_cache": cached},
        "peak_memory": _machine.peak_memory(),
    }


def compile_all(estimator: DepthEstimator, frame_shape: tuple[int, int]) -> tuple[float, dict]:
    """Compiles every program of a video; returns the seconds and each one's operations, by our count and by XLA's."""
    config, batching, params = estimator.config, estimator.batching, estimator.network.params
    scalar = np.int32(0)
    image = jax.ShapeDtypeStruct((batching.encoded, *config.image_shape, 3), jnp.float32)
    frame = jax.ShapeDtypeStruct((batching.encoded, *frame_shape, 3), jnp.uint8)
    bank = jax.eval_shape(lambda: programs.empty_bank(config, params, WINDOW_FRAMES * batching.windows))
    path_3 = jax.eval_shape(lambda: programs.coarse(params, bank, length=WINDOW_FRAMES, config=config))
    fine = {"count": batching.decoded, "config": config}
    group = jax.eval_shape(lambda: programs.fine(params, path_3, bank, scalar, **fine))
    calls = {
        "prepare": (programs.prepare, (frame, config.image_shape), {}),
        "encode": (programs.encode_into, (params, bank, image, scalar), {"config": config}),
        "coarse": (programs.coarse, (params, bank), {"length": WINDOW_FRAMES, "config": config}),
        "fine": (programs.fine, (params, path_3, bank, scalar), fine),
        "to_frames": (programs.to_frames, (group, scalar), {"count": len(group), "frame_shape": tuple(frame_shape)}),
    }
    started, counts = time.perf_counter(), {}
    for name, (program, arguments, options) in calls.items():
        traced = program.trace(*arguments, **options)
        compiled = traced.lower().compile()
        counts[name] = {
            "counted": _machine.matrix_flops(traced.jaxpr.jaxpr),
            "xla_loops_once": (compiled.cost_analysis() or {}).get("flops", 0.0),
        }
    return time.perf_counter() - started, counts


def window_flops(flops: dict, align: str, batching: Batching) -> float:
    """Operations of one window in the middle of a video, without what batching repeats."""
    used = len(Window(1, align).used_slots)
    return (
        flops["encode"]["counted"] * (WINDOW_FRAMES - OVERLAP) / batching.encoded
        + flops["coarse"]["counted"] / batching.windows
        + flops["fine"]["counted"] * used / batching.decoded
    )


def report(figures: dict) -> str:
    """The figures for a reader."""
    network, machine, video = figures["network"], figures["machine"], figures["video"]
    compiled, rates = figures["compile_seconds"], figures["matrix_gflops"]
    memory = ", ".join(f"{name.removesuffix('_mb')} {mb:.0f} MB" for name, mb in figures["peak_memory"].items())
    return "\n".join(
        [
            f"{network['family']} {network['preset']} {network['precision']} at {figures['image_shape']}, "
            f"{video['frames']} frames of {video['size']}, alignment {video['align']}",
            f"  on {machine['device']}, jax {machine['jax']}",
            f"  per output frame    {figures['ms_per_output_frame']:.1f} ms "
            f"(over the whole video, with its first window: {figures['ms_per_output_frame_whole_video']:.1f} ms)",
            f"  per window          {figures['seconds_per_window']:.2f} s, {figures['gflop_per_window']:.0f} GFLOP",
            f"  matrix products     {rates['float32']:.0f} GFLOP/s float32, {rates['bfloat16']:.0f} GFLOP/s bfloat16",
            f"  reached             {figures['gflops_reached']:.0f} GFLOP/s, "
            f"{100 * figures['share_of_matrix_rate']:.0f}% of {network['precision']}",
            f"  compile             {compiled['cold']:.1f} s cold, {compiled['from_cache']:.1f} s from the cache",
            f"  peak memory         {memory}",
        ]
    )


def _batching(text: str) -> Batching:
    return Batching(*(_options.at_least(1)(part) for part in text.split(",")))
