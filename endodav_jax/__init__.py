"""Depth for endoscopic video in JAX and Flax: EndoDAV, EndoDAC and Video-Depth-Anything.

    model = endodav_jax.load()  # or load("weights/endodav_vitb")
    disparity = model.infer(frames)  # uint8 [N, H, W, 3] -> float32 [N, H, W]
    depth = model.infer_depth(frames)

    config = endodav_jax.read_config("smoke")  # twenty steps on rendered frames
    endodav_jax.train(config, "out/smoke")

Importing the package is fast: JAX is imported only when a network is first needed.
"""

import importlib
import os
from typing import TYPE_CHECKING

from endodav_jax.errors import UserError
from endodav_jax.version import __version__

if TYPE_CHECKING:
    from endodav_jax.checkpoints.card import Card
    from endodav_jax.config import Config, read_config
    from endodav_jax.evaluation.evaluate import Results
    from endodav_jax.geometry.depth import depth_from_disparity
    from endodav_jax.inference.estimator import DepthEstimator
    from endodav_jax.inference.runtimes import Runtime, RuntimePrecision

__all__ = [
    "Card",
    "Config",
    "DepthEstimator",
    "UserError",
    "__version__",
    "depth_from_disparity",
    "evaluate",
    "load",
    "read_config",
    "train",
]

# Names that are imported on first use, and their modules.
_LAZY = {
    "Card": "endodav_jax.checkpoints.card",
    "Config": "endodav_jax.config",
    "DepthEstimator": "endodav_jax.inference.estimator",
    "depth_from_disparity": "endodav_jax.geometry.depth",
    "read_config": "endodav_jax.config",
}


def load(
    path: "str | os.PathLike[str]" = "shipped-mixed",
    precision: "RuntimePrecision | None" = None,
    runtime: "Runtime" = "jax",
    int8_frames: str = "",
    int8_force: bool = False,
) -> "DepthEstimator":
    """Returns the network of a checkpoint, ready to process videos; its `card` describes the weights.

    Args:
      path: a folder written by `endodav convert` or by training, or published weights (`.pth`, `.safetensors`, a
        training folder), which are converted in memory, or a name of weights shipped with the package; by default the
        small network that `endodav infer` uses without weights.
      precision: `float32`, `bfloat16` or (OpenVINO) `int8`, instead of the precision stored in the checkpoint.
      runtime: the runtime for the network: `jax`, `onnxruntime`, `openvino`, or `auto` for the fastest one installed;
        if it is not `jax`, the last of the card's notes says which it is and why, and what int8 costs.
      int8_frames: with int8, a video for its calibration; empty for rendered frames.
      int8_force: use int8 even if it increases abs rel by more than 2%.

    Raises:
      UserError: the checkpoint is missing or damaged, there is no such runtime or precision, the runtime is not
        installed or does not support the precision, or int8 would increase abs rel by more than 2%.
    """
    import dataclasses

    from endodav_jax.checkpoints import load_model
    from endodav_jax.fields import user_path
    from endodav_jax.inference.estimator import DepthEstimator
    from endodav_jax.inference.runtimes import RuntimeConfig
    from endodav_jax.runtimes.networks import network_for

    try:
        wanted = RuntimeConfig(
            runtime=runtime,
            precision="float32" if precision is None else precision,
            int8_frames=user_path(int8_frames),
            int8_force=int8_force,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    config, params, card = load_model(user_path(os.fspath(path)))
    if precision is None:
        wanted = dataclasses.replace(wanted, precision=config.precision)
    network, chosen = network_for(config, params["depth"], wanted)
    if runtime != "jax":
        card = dataclasses.replace(card, notes=(*card.notes, chosen))
    return DepthEstimator.of(network, card)


def train(config: "Config", workdir: "str | os.PathLike[str]") -> int:
    """Fine-tunes a network without labels; rerun to resume.

    Args:
      config: configuration of the run, from `read_config` or built from its dataclasses.  If it has a phantom, the
        phantom is rendered first.
      workdir: of everything that the run writes; `load(workdir)` gives the trained network.

    Returns:
      The exit code, `errors.EXIT_OK` or, where SIGTERM ended it after saving, `errors.EXIT_PREEMPTED`.

    Raises:
      UserError: the configuration contradicts itself, or data or weights are missing or do not fit.
    """
    from pathlib import Path

    from endodav_jax.fields import user_path
    from endodav_jax.training.run import train as run

    return run(config, Path(user_path(os.fspath(workdir))))


def evaluate(config: "Config", workdir: "str | os.PathLike[str]") -> "Results":
    """Evaluates the depth of `config.weights`, or another method's predictions, as set in `config.evaluate`.

    Args:
      config: configuration of the run.  If `config.evaluate.path` is empty, the configured phantom is rendered.
      workdir: folder for `results.json`, `report.html` and, if the weights have a pose network, trajectories.

    Returns:
      Errors per sequence and over all frames; sequences that could not be evaluated are in its `failures`.

    Raises:
      UserError: neither or both of weights and predictions are given, or they or the data are missing.
    """
    from pathlib import Path

    from endodav_jax.fields import user_path
    from endodav_jax.reconstruction.steady import correction_of
    from endodav_jax.report.evaluate import evaluate as run

    return run(config, Path(user_path(os.fspath(workdir))), correction_of(config.evaluate))


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
