"""A step of self-supervised training: seconds, memory, and how much of the machine it uses, in every phase.

    python tools/benchmark.py train --preset vits
    python tools/benchmark.py train --preset vitb --precision bfloat16 --steps 20 --json figures.json
    python tools/benchmark.py train --preset vits --parts

It is the step that `training.loop` runs, over all local devices, on synthetic clips and random weights, which take the
same work as real ones.  The first step of a phase is not timed.  Processor time is reported as well as wall-clock time,
since another program on the machine affects only the latter.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks import _machine, _networks, _options, _train_parts

from endodav_jax.config import Config
from endodav_jax.data.contract import NO_JITTER
from endodav_jax.errors import UserError
from endodav_jax.fields import size
from endodav_jax.training import parallel, published_runs
from endodav_jax.training.checks import check_frame_size
from endodav_jax.training.initial import initial_networks, trained_groups
from endodav_jax.training.phases import Phase, PhaseSchedule, phase_of_step
from endodav_jax.training.step import TrainStep, new_state

HELP = "seconds of a training step in each phase, memory, and the share of the machine's matrix-product rate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments."""
    add = parser.add_argument
    add("--family", choices=("endodav", "endodac"), default="endodav")
    add("--preset", choices=("vitt", "vits", "vitb", "vitl"), default="vits")
    add("--precision", choices=("float32", "bfloat16"), default="float32", help="of all networks")
    add("--steps", type=_options.at_least(1), default=2, help="to time in each phase (default: 2)")
    add("--clip-length", type=_options.at_least(0), default=0, help="T (default: as published, 16 or for endodac 1)")
    add(
        "--batch",
        type=_options.at_least(0),
        default=0,
        help="clips of a step (default: as published, 1 or for endodac 8)",
    )
    add("--size", type=size, default=(256, 320), metavar="HxW", help="of the frames (default: 256x320)")
    add("--image-shape", type=size, metavar="HxW", help="the depth network runs at (default: as published, 224x280)")
    add("--phases", type=lambda text: text.split(","), default=["spatial", "temporal"], help="spatial,temporal,joint")
    add("--no-remat", action="store_true", help="keep every activation: more memory, fewer operations")
    add("--parts", action="store_true", help="by part: each network, forward and training, losses and optimiser")
    add("--json", type=_options.figures_file, help="write the figures there, too")


def run_arguments(args: argparse.Namespace) -> None:
    """Measures and prints.

    Raises:
      UserError: sizes that contradict each other, or a phase that does not exist.
    """
    jax.config.update("jax_enable_compilation_cache", False)  # seconds of compilation are those of a first run
    if args.parts:
        figures = measure_parts(configuration(args), args.size, args.steps, args.phases)
        print("\n".join(_train_parts.report(figures["parts"])))
    else:
        figures = measure(configuration(args), args.size, args.steps, args.phases)
        print(report(figures))
    _options.write_figures(figures, args.json)


def configuration(args: argparse.Namespace) -> Config:
    """The published run of a family, with what the arguments change.

    Raises:
      UserError: a size that the networks or the pipeline cannot have.
    """
    config = Config(**published_runs.PUBLISHED_RUNS[args.family](args.preset))
    check_frame_size(*args.size, config.train.objective.scales)
    shape = args.image_shape or config.model.image_shape
    data = {"clip_length": args.clip_length, "batch_size": args.batch}
    objective = dataclasses.replace(config.train.objective, remat=not args.no_remat)
    try:
        return dataclasses.replace(
            config,
            model=dataclasses.replace(config.model, precision=args.precision, image_shape=shape),
            data=dataclasses.replace(config.data, **{name: value for name, value in data.items() if value}),
            train=dataclasses.replace(
                config.train, precision=args.precision, remat=not args.no_remat, objective=objective, ema_decay=0.0
            ),
        )
    except ValueError as error:
        raise UserError(f"{error}; give another --image-shape, --clip-length or --batch") from error


def measure(config: Config, size: tuple[int, int], steps: int, names: list[str]) -> dict:
    """All figures, as a tree that JSON can hold.

    Raises:
      UserError: a phase that this configuration does not have.
    """
    parallel.check_batch_size(config.data.batch_size)
    start = initial_networks(config, parallel.AXIS, fill=made_up_weights)
    phases = {name: phase_named(name, frozenset(start.trained)) for name in names}
    step = TrainStep(start.graphdef, config.train, lambda number: jnp.ones_like(number, jnp.float32), parallel.AXIS)
    program = parallel.DataParallel(step)
    parameters = sum(leaf.size for groups in (start.trained, start.frozen) for leaf in jax.tree.leaves(groups))
    state = parallel.replicate(new_state(start.trained, start.statistics, config.train), owned=True)
    frozen = parallel.replicate(start.frozen)
    batch = parallel.shard(made_up_batch(config, size))
    del start, step

    rates = {name: _machine.matrix_rate(jnp.dtype(name)) for name in ("float32", "bfloat16")}
    results = {}
    for name, phase in phases.items():
        print(f"{name} phase: compiling, then {steps + 1} steps", file=sys.stderr, flush=True)
        results[name], state = _one_phase(program, state, frozen, batch, phase, steps)
        seconds = results[name]["seconds_per_step"]
        results[name]["clips_per_second"] = config.data.batch_size / seconds
        results[name]["gflops_reached"] = results[name]["gflop_per_step"] / seconds
        results[name]["share_of_matrix_rate"] = results[name]["gflops_reached"] / (
            rates[config.train.precision] * jax.local_device_count()
        )
    return {
        "machine": _machine.describe() | {"devices": jax.local_device_count()},
        "network": {
            "family": config.model.family,
            "preset": config.model.preset,
            "precision": config.model.precision,
            "parameters": parameters,
        },
        "clip": {"frames": config.data.clip_length, "size": list(size), "batch": config.data.batch_size},
        "image_shape": list(config.model.image_shape),
        "remat": config.train.remat,
        "phases": results,
        "matrix_gflops": rates,
        "peak_memory": _machine.peak_memory(),
    }


def measure_parts(config: Config, size: tuple[int, int], steps: int, names: list[str]) -> dict:
    """The parts of a step on one device; see `_train_parts`."""
    available = trained_groups(config)
    phases = [phase_named(name, available) for name in names]
    parts = _train_parts.parts_of(config, made_up_batch(config, size), phases)
    return {
        "machine": _machine.describe(),
        "network": {"preset": config.model.preset, "precision": config.model.precision},
        "parts": _train_parts.measure(parts, steps),
        "peak_memory": _machine.peak_memory(),
    }


def _one_phase(program, state, frozen, batch: dict, phase: Phase, steps: int) -> tuple[dict, dict]:
    """Compiles the step of a phase, runs it once and then `steps` times; returns the figures and the state."""
    jaxpr = jax.make_jaxpr(program.mapped, static_argnums=3)(state, frozen, batch, phase)
    started = time.perf_counter()
    compiled = program.compiled(state, frozen, batch, phase)
    compile_seconds = time.perf_counter() - started
    seconds, processor = [], []
    for _ in range(steps + 1):
        started, cpu_started = time.perf_counter(), time.process_time()
        state, metrics, _ = compiled(state, frozen, batch)
        jax.block_until_ready((state, metrics))
        seconds.append(time.perf_counter() - started)
        processor.append(time.process_time() - cpu_started)
    figures = {
        "compile_seconds": compile_seconds,
        "seconds_per_step": float(np.median(seconds[1:])),
        "processor_seconds_per_step": float(np.median(processor[1:])),
        # The program of one device is what the jaxpr holds.
        "gflop_per_step": _machine.matrix_flops(jaxpr.jaxpr) * jax.local_device_count() / 1e9,
        "xla_gflop_loops_once": (compiled.cost_analysis() or {}).get("flops", 0.0) / 1e9,
        "temporary_mb": compiled.memory_analysis().temp_size_in_bytes / 2**20,
        "loss": float(parallel.unreplicate(metrics)["loss"]),
    }
    return figures, state


def phase_named(name: str, available: frozenset[str]) -> Phase:
    """The first phase of that name in the published schedule, or in joint training.

    Raises:
      UserError: there is none.
    """
    schedule = PhaseSchedule(joint=name == "joint")
    for number in (1, schedule.spatial_steps):
        phase = phase_of_step(number, schedule, available)
        if phase.name == name:
            return phase
    raise UserError(f"--phases: {name}: this network has no such phase")


def made_up_weights(build: Callable, params: dict, statistics: dict) -> None:
    """Weights whose activations stay moderate, without the minute that those of a real start take to compile."""
    del build
    rng = np.random.default_rng(0)
    for part in (params, statistics):
        for path, leaf in part.items():
            if leaf.ndim > 1:
                fan_in = np.prod(leaf.shape[:-1])
                part[path] = jnp.asarray(rng.standard_normal(leaf.shape, np.float32) / np.sqrt(fan_in), leaf.dtype)
            else:
                zero = path.rsplit(".", 1)[-1] in ("bias", "mean")
                part[path] = jnp.full(leaf.shape, 0.0 if zero else 1.0, leaf.dtype)


def made_up_batch(config: Config, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """A batch as `data.contract.BATCH` says: a drifting texture, half of the clips with other colours."""
    clips, frames, (height, width) = config.data.batch_size, config.data.window, size
    drifting = np.stack(list(_networks.drifting_frames(clips * frames, height, width)))
    jitter = np.tile(np.array(NO_JITTER, np.float32), (clips, 1))
    jitter[::2] = [1.1, 0.9, 1.2, 0.05]
    return {
        "frames": drifting.reshape(clips, frames, height, width, 3),
        "jitter": jitter,
        "jitter_order": np.tile(np.arange(4, dtype=np.int32), (clips, 1)),
        "intrinsics": np.tile(np.array([0.82 * width, 1.02 * height, width / 2, height / 2], np.float32), (clips, 1)),
        "view_mask": np.ones((clips, height, width), bool),
        "frame_index": np.tile(np.arange(frames, dtype=np.int32), (clips, 1)),
        "sequence": np.zeros(clips, np.int32),
    }


def report(figures: dict) -> str:
    """The figures for a reader."""
    network, machine, clip, rates = (figures[part] for part in ("network", "machine", "clip", "matrix_gflops"))
    memory = ", ".join(f"{name.removesuffix('_mb')} {mb:.0f} MB" for name, mb in figures["peak_memory"].items())
    lines = [
        f"{network['family']} {network['preset']} {network['precision']} at {figures['image_shape']}, "
        f"{clip['batch']} x {clip['frames']} frames of {clip['size']}" + ("" if figures["remat"] else ", no remat"),
        f"  on {machine['devices']} x {machine['device']}, jax {machine['jax']}",
        f"  matrix products     {rates['float32']:.0f} GFLOP/s float32, {rates['bfloat16']:.0f} GFLOP/s bfloat16",
    ]
    for name, phase in figures["phases"].items():
        lines += [
            f"  {name} phase",
            f"    step              {phase['seconds_per_step']:.2f} s, {phase['processor_seconds_per_step']:.2f} s of "
            f"processor time, {phase['clips_per_second']:.3f} clips/s",
            f"    reached           {phase['gflop_per_step']:.0f} GFLOP in it, {phase['gflops_reached']:.0f} GFLOP/s, "
            f"{100 * phase['share_of_matrix_rate']:.0f}% of {network['precision']}",
            f"    compile           {phase['compile_seconds']:.1f} s; temporaries {phase['temporary_mb']:.0f} MB",
        ]
    return "\n".join([*lines, f"  peak memory         {memory}"])
