"""`quickstart`: the whole way from rendered video to report on an embedded default."""

import argparse
from pathlib import Path

import numpy as np

from endodav_jax.config import Config, config_from_dict, load_config_file
from endodav_jax.inference.config import Align, InferConfig
from endodav_jax.jobs.infer import infer
from endodav_jax.jobs.weights import load_estimator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command line can say; the rest stands in the configuration."""
    parser.add_argument("--config", default="configs/quickstart.py", help="configuration file (%(default)s)")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder for everything; an interrupted run goes on"
    )


def run_arguments(args: argparse.Namespace) -> int | None:
    """Runs the job as the command line says."""
    return run(config_from_dict(load_config_file(args.config).to_dict()), args.output)


def run(config: Config, workdir: Path) -> int | None:
    """See `quickstart.run.quickstart`."""
    from endodav_jax.quickstart.run import quickstart

    return quickstart(config, workdir, _write_depth)


def _write_depth(frames: Path, intrinsics: np.ndarray, weights: str, windows: Align, folder: Path) -> None:
    """Does what `endodav infer` does with any video."""
    told = InferConfig(
        input=str(frames),
        align=windows,
        intrinsics=",".join(f"{value:.6g}" for value in intrinsics),
        save=("npz", "ply"),
        overwrite=True,
    )
    infer(told, folder, weights, load_estimator)
