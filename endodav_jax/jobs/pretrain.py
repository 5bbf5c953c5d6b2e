"""`pretrain`: a small foundation model from random weights, on the phantom."""

import argparse
import dataclasses
from pathlib import Path

from endodav_jax.checkpoints import Card, save_model
from endodav_jax.config import Config, config_from_dict, load_config_file
from endodav_jax.pretraining.loop import pretrain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command line can say; the rest stands in the configuration."""
    parser.add_argument("--config", default="configs/pretrain_phantom.py", help="configuration file")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder of the run; an interrupted one goes on"
    )


def run_arguments(args: argparse.Namespace) -> int | None:
    """Runs the job as the command line says."""
    return run(config_from_dict(load_config_file(args.config).to_dict()), args.output)


def run(config: Config, workdir: Path) -> int | None:
    """Trains, and writes the network to `workdir/model`."""
    params = pretrain(config.model, config.pretrain, config.seed, workdir)
    card = Card(
        what="depth network pretrained with supervision on the phantom",
        licence="MIT, as this package",
        entries={"seed": config.seed, "pretrain": dataclasses.asdict(config.pretrain)},
    )
    save_model(workdir / "model", config.model, {"depth": params}, card, overwrite=True)
    print(f"{workdir / 'model'}: the trained network")
    return None
