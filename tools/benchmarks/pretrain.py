"""A step of pretraining the depth network: seconds, frames per second, and how much of the machine it uses.

    python tools/benchmark.py pretrain --config pretrain_phantom
    taskset -c 0 python tools/benchmark.py pretrain --set pretrain.other_cameras=1 --set pretrain.coarse_output=True

It is the step that `pretraining.loop` runs, on one device, on made-up scenes and random weights, which take the same
work as real ones; rendering and reading are not in it (`render` and `data` measure those).  The first step of a stage
is not timed.  On a CPU, shares are of processor time, so that other work on the machine matters little.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks import _machine, _networks, _options
from flax import nnx

from endodav_jax import process
from endodav_jax.config import Config
from endodav_jax.models import build_depth_model
from endodav_jax.plain_table import plain_table
from endodav_jax.pretraining.config import PretrainConfig
from endodav_jax.pretraining.loop import Stage, depth_stage, stages_of
from endodav_jax.training.partition import flatten

HELP = "seconds of a pretraining step in both stages of the depth network, and the share of the matrix rate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments."""
    add = parser.add_argument
    add("--config", default="pretrain_phantom", help="what is trained (default: pretrain_phantom)")
    add("--set", action="append", default=[], metavar="FIELD=VALUE", help="of the configuration")
    add("--steps", type=_options.at_least(1), default=5, help="to time in each stage (default: 5)")
    add("--json", type=_options.figures_file, help="write the figures there, too")


def run_arguments(args: argparse.Namespace) -> None:
    """Measures, prints and writes the figures.

    Raises:
      UserError: the configuration is contradictory.
    """
    config = _options.configuration(args.config, args.set)
    process.set_up()
    figures = measure(config, args.steps)
    print(report(figures))
    _options.write_figures(figures, args.json)


def measure(config: Config, steps: int) -> dict:
    """All figures, as a tree that JSON can hold."""
    pretrain = config.pretrain
    graphdef, state = nnx.split(build_depth_model(config.model, nnx.Rngs(0)))
    weights = {path: np.array(leaf) for path, leaf in flatten(nnx.to_pure_dict(state)).items()}  # steps donate theirs
    stages = {}
    for stage in stages_of(pretrain, config.model.image_shape)[:2]:
        batch = made_up_batch(stage, pretrain, config.model.image_shape)
        stages[stage.name] = _one_stage(*depth_stage(stage, graphdef, weights, pretrain), batch, steps)
    return {
        "machine": _machine.describe(),
        "network": {"preset": config.model.preset, "image_shape": list(config.model.image_shape)},
        "precision": config.model.precision,
        "matrix_gflops": _machine.matrix_rate(jnp.dtype(config.model.precision), _clock()),
        "stages": stages,
        "peak_memory": _machine.peak_memory(),
    }


def _clock() -> Callable[[], float]:
    """Processor time on a CPU; an accelerator's work takes none."""
    return time.process_time if jax.default_backend() == "cpu" else time.perf_counter


def made_up_batch(stage: Stage, config: PretrainConfig, image_shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """A batch of a stage as `pretraining.scenes.scene_batches` gives it: a drifting texture on a slope."""
    single = stage.name == "image"
    scenes, length = stage.batch_size, config.frames_per_scene if single else config.clip_length
    height, width = image_shape if single else (config.frame_height, config.frame_width)
    frames = np.stack(list(_networks.drifting_frames(scenes * length, height, width)))
    depth_mm = np.broadcast_to(np.linspace(20, 60, width, dtype=np.float32), (scenes, length, height, width))
    return {
        "frames": frames.reshape(scenes, length, height, width, 3),
        "depth_mm": np.ascontiguousarray(depth_mm),
        "jitter": np.tile(np.array([1.1, 0.9, 1.2, 0.05], np.float32), (scenes, 1)),
        "jitter_order": np.tile(np.arange(4, dtype=np.int32), (scenes, 1)),
        "camera_seed": np.arange(scenes, dtype=np.int32),
        "camera_strength": np.full(scenes, config.other_cameras, np.float32),
    }


def _one_stage(state: dict, step, batch: dict[str, np.ndarray], steps: int) -> dict:
    rate = np.float32(1e-4)
    flops = _machine.matrix_flops(jax.make_jaxpr(step)(state, batch, rate).jaxpr)
    seconds, processor = [], []
    for _ in range(steps + 1):
        started, cpu_started = time.perf_counter(), time.process_time()
        state, losses = step(state, batch, rate)
        jax.block_until_ready((state, losses))
        seconds.append(time.perf_counter() - started)
        processor.append(time.process_time() - cpu_started)
    return {
        "frames": int(np.prod(batch["frames"].shape[:2])),
        "compile_seconds": seconds[0],
        "seconds": float(np.median(seconds[1:])),
        "processor_seconds": float(np.median(processor[1:])),
        "gflop": flops / 1e9,
        "loss": float(losses["loss"]),
    }


def report(figures: dict) -> str:
    """The figures for a reader."""
    machine, network, rate = figures["machine"], figures["network"], figures["matrix_gflops"]
    rows = [["stage", "frames", "s per step", "processor s", "frames/s", "GFLOP", "GFLOP/s", "of the matrix rate"]]
    for name, stage in figures["stages"].items():
        busy = stage["processor_seconds"] if machine["backend"] == "cpu" else stage["seconds"]
        rate_of_frames, reached = stage["frames"] / stage["seconds"], stage["gflop"] / busy
        numbers = [f"{stage['seconds']:.2f}", f"{stage['processor_seconds']:.2f}", f"{rate_of_frames:.1f}"]
        numbers += [f"{stage['gflop']:.0f}", f"{reached:.0f}", f"{100 * reached / rate:.0f}%"]
        rows.append([name, str(stage["frames"]), *numbers])
    return "\n".join(
        [
            f"{network['preset']} at {network['image_shape']}, {figures['precision']}, {machine['device']}, "
            f"jax {machine['jax']}; matrix products reach {rate:.0f} GFLOP/s",
            *plain_table(rows),
        ]
    )
