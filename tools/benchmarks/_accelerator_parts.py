"""The parts of `accelerator.py`, each in its own process; figures are written as soon as they are measured."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks import _machine, _networks, _options, train

from endodav_jax.inference import programs
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.inference.network import JaxNetwork
from endodav_jax.inference.windowed import Batching, window_rows
from endodav_jax.inference.windows import CONTEXT_SLOTS, OVERLAP, STEP, WINDOW_FRAMES
from endodav_jax.models import DepthModelConfig, attention, depth_model_with, merge_adapters
from endodav_jax.training import published_runs

ROOT = Path(__file__).parents[2]
FRAME_SHAPE = (256, 320)
RULE = "endodav"
MOST_ENCODED = 8 * STEP  # frames per encoder call: more gain nothing, and take memory from the windows
REPEATS = 3
GAIN = 0.97  # share of the time with a quarter as many windows that must be reached for trying still more
GOLDEN = {"endodav_vits_ssb": "vits", "endodav_vitb_ssb": "vitb"}

Write = Callable[[dict], None]


def run(part: list[str], path: Path, tiny: bool) -> None:
    """Runs `KIND [ARGUMENTS]` and writes its figures to `path`, again whenever there are more."""
    kind, *arguments = part
    {"machine": machine, "inference": inference, "training": training, "agreement": agreement}[kind](
        *arguments, tiny=tiny, write=lambda figures: _options.write_figures(figures, path)
    )


def machine(*, tiny: bool, write: Write) -> None:
    """The device, its memory and its rates of matrix products."""
    device = jax.devices()[0]
    figures = _machine.describe() | {
        "devices": jax.device_count(),
        "compute_capability": attention.compute_capability(device),
        "fused_attention": attention.has_fused_attention(),
        "memory_mb": (device.memory_stats() or {}).get("bytes_limit", 0) / 2**20,
    }
    write(figures)
    if not tiny:
        figures["matrix_gflops"] = {name: _machine.matrix_rate(jnp.dtype(name)) for name in ("float32", "bfloat16")}
        write(figures)


def inference(preset: str, precision: str, kind: str, *, tiny: bool, write: Write) -> None:
    """Milliseconds per output frame with 1, 4, 16, ... windows at once, on the device alone and of a whole video.

    Raises:
      SystemExit: cuDNN's attention is requested where it is not available, or memory is too small for one window.
    """
    if kind == "cudnn" and not attention.has_fused_attention():
        raise SystemExit("cuDNN's fused attention wants NVIDIA GPUs from Ampere on; this is " + jax.default_backend())
    config, params = _network(preset, precision, tiny)
    rate = _machine.matrix_rate(jnp.dtype(precision))
    figures = {"matrix_gflops": rate, "by_windows": []}
    with _attention(kind):
        network = JaxNetwork(config, params)
        for windows in [1] if tiny else [4**i for i in range(4)]:  # each number is a program to compile
            try:
                measured = _device_pass(network, windows, rate)
            except jax.errors.JaxRuntimeError as error:
                figures["ended_by"] = f"{windows} windows: {str(error).splitlines()[0][:200]}"
                break
            figures["by_windows"].append(measured)
            figures["best"] = min(figures["by_windows"], key=lambda at: at["ms_per_output_frame"])
            figures["peak_memory"] = _machine.peak_memory()
            write(figures)
            if (
                windows > 4
                and measured["ms_per_output_frame"] > GAIN * figures["by_windows"][-2]["ms_per_output_frame"]
            ):
                figures["ended_by"] = f"{windows} windows are no faster than a quarter as many"
                break
        write(figures)
        if not figures["by_windows"]:
            raise SystemExit(figures["ended_by"])
        if not tiny:
            best = min(figures["best"]["windows"], 16)  # of which two batches lie in memory
            figures["whole_video"] = _whole_video(config, params, best)
            write(figures)


def _network(preset: str, precision: str, tiny: bool) -> tuple[DepthModelConfig, dict]:
    config = DepthModelConfig.endodav(preset)
    if tiny:
        config = DepthModelConfig.endodav("vitt", image_shape=(28, 42))
    return merge_adapters(dataclasses.replace(config, precision=precision), _networks.random_params(config))


@contextlib.contextmanager
def _attention(kind: str) -> Iterator[None]:
    """Makes networks use XLA's attention if that is requested, and otherwise their default."""
    if kind == "xla":
        with mock.patch.object(attention, "has_fused_attention", return_value=False):
            yield
    else:
        yield


def _device_pass(network: JaxNetwork, windows: int, rate: float) -> dict:
    """The programs of `windows` windows, as `run_windows` calls them in the middle of a video; frames on the device."""
    config, params = network.config, network.params
    count = WINDOW_FRAMES - CONTEXT_SLOTS
    encoded = min(STEP * windows, MOST_ENCODED)
    slots = window_rows(RULE, windows)
    frames = np.stack(list(_networks.drifting_frames(encoded, *FRAME_SHAPE)))
    images = programs.prepare(frames, image_shape=config.image_shape)

    def once(bank):
        for row in range(0, STEP * windows, encoded):
            bank = network.encode_into(bank, images, OVERLAP + row)
        features = network.select(bank, slots.ravel())
        path_3 = network.coarse(features)
        for i in range(windows):
            disparity = network.fine(path_3, features, i * WINDOW_FRAMES + CONTEXT_SLOTS, count)
        return bank, disparity

    started = time.perf_counter()
    bank, disparity = jax.block_until_ready(once(network.empty_bank(OVERLAP + STEP * windows)))
    first, seconds = time.perf_counter() - started, []
    for _ in range(REPEATS):
        started = time.perf_counter()
        bank, disparity = jax.block_until_ready(once(bank))
        seconds.append(time.perf_counter() - started)
    if not np.isfinite(np.asarray(disparity, np.float32)).all():
        raise SystemExit(f"{windows} windows: the disparity is not finite")

    scalar = np.int32(0)
    features = jax.eval_shape(lambda: network.select(bank, slots.ravel()))
    path_3 = jax.eval_shape(lambda: network.coarse(features))
    counted = {
        "encode": _flops(programs.encode_into, params, bank, images, scalar, config=config),
        "coarse": _flops(programs.coarse, params, features, length=WINDOW_FRAMES, config=config),
        "fine": _flops(programs.fine, params, path_3, features, scalar, count=count, config=config),
    }
    work = counted["encode"] * STEP * windows / encoded + counted["coarse"] + windows * counted["fine"]
    return {
        "windows": windows,
        "ms_per_output_frame": 1e3 * min(seconds) / (STEP * windows),
        "gflop_per_output_frame": work / (STEP * windows) / 1e9,
        "share_of_matrix_rate": work / min(seconds) / 1e9 / rate,
        "first_seconds": first,
    }


def _flops(program, *arguments, **options) -> int:
    return _machine.matrix_flops(program.trace(*arguments, **options).jaxpr.jaxpr)


def _whole_video(config: DepthModelConfig, params: dict, windows: int) -> dict:
    """Milliseconds per frame of `iter_infer`: with frames from the host, disparities back and windows aligned there."""
    batching = Batching(min(STEP * windows, MOST_ENCODED), WINDOW_FRAMES - CONTEXT_SLOTS, windows)
    estimator = DepthEstimator(config, params, batching=batching)
    frames = list(_networks.drifting_frames(2 * STEP, *FRAME_SHAPE))
    batch = STEP * windows
    at = []
    for number, _ in estimator.iter_infer((frames[i % len(frames)] for i in range(5 * batch)), RULE):
        if number > CONTEXT_SLOTS and (number - CONTEXT_SLOTS) % batch == 0:
            at.append(time.perf_counter())
    # The first batch includes compilation, and the last may have nothing to wait for.
    return {"windows": windows, "ms_per_frame": 1e3 * float(np.median(np.diff(at[1:]))) / batch}


def training(preset: str, precision: str, *, tiny: bool, write: Write) -> None:
    """Steps per second of the spatial phase by `pmap` on all visible devices, with one clip on each."""
    config = train.Config(**published_runs.endodav("vitt" if tiny else preset))
    clip = {"batch_size": jax.device_count()} | ({"clip_length": 2} if tiny else {})
    shape = (28, 28) if tiny else config.model.image_shape
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, precision=precision, image_shape=shape),
        data=dataclasses.replace(config.data, **clip),
        train=dataclasses.replace(config.train, precision=precision, ema_decay=0.0),
    )
    measured = train.measure(config, (64, 64) if tiny else FRAME_SHAPE, 1 if tiny else 10, ["spatial"])
    spatial = measured["phases"]["spatial"]
    write(
        {
            "devices": jax.device_count(),
            "device": jax.devices()[0].device_kind,
            "jax": jax.__version__,
            "clips": config.data.batch_size,
            "steps_per_second": 1 / spatial["seconds_per_step"],
            **spatial,
            "matrix_gflops": measured["matrix_gflops"],
            "peak_memory": measured["peak_memory"],
        }
    )


def agreement(*, tiny: bool, write: Write) -> None:
    """Largest and mean difference from the published programs' disparity, of its largest value, in both precisions."""
    sys.path.insert(0, str(ROOT))
    from endodav_jax.conversion.names import params_from_torch
    from tests.golden_cases import GoldenCases

    golden = GoldenCases.from_environment()
    figures: dict[str, dict[str, float]] = {"largest_difference": {}, "mean_difference": {}}
    for name, preset in list(GOLDEN.items())[: 1 if tiny else None]:
        case = golden.arrays(name)
        expected = np.asarray(case["disp_0"], np.float64)
        for precision in ("float32", "bfloat16")[: 1 if tiny else None]:
            config = DepthModelConfig.endodav(preset, image_shape=tuple(case["image_shape"].tolist()))
            config = dataclasses.replace(config, precision=precision)
            params = params_from_torch(golden.state_dict(name), config, name)
            run = jax.jit(lambda params, frames, config=config: depth_model_with(config, params).disparity(frames))
            disparity = np.asarray(run(params, case["input"]), np.float64).reshape(expected.shape)
            error = np.abs(disparity - expected) / np.abs(expected).max()
            figures["largest_difference"][f"{name} {precision}"] = float(error.max())
            figures["mean_difference"][f"{name} {precision}"] = float(error.mean())
            write(figures)
