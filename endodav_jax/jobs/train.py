"""`train`: self-supervised training as a configuration says."""

import argparse
import dataclasses
from pathlib import Path

from endodav_jax.config import Config, config_from_dict, load_config_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command line can say; the rest stands in the configuration."""
    parser.add_argument("config", help="configuration file, such as configs/endodav_vitb_scared.py")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder of the run; an interrupted one goes on"
    )
    parser.add_argument("--data", help="prepared data set (config.data.path)")
    parser.add_argument("--weights", help="weights to start from (config.weights)")


def run_arguments(args: argparse.Namespace) -> int | None:
    """Runs the job as the command line says."""
    values = load_config_file(args.config)
    if args.data:
        values.data.path = args.data
    if args.weights:
        values.weights = args.weights
    return run(config_from_dict(values.to_dict()), args.output)


def run(config: Config, workdir: Path) -> int | None:
    """Trains; see `training.loop.train`.  A configured phantom is rendered below `workdir` first."""
    from endodav_jax.data.rendered import with_rendered_phantom
    from endodav_jax.training.checks import check_config
    from endodav_jax.training.loop import train

    check_config(config)  # before anything is rendered
    data, validation = with_rendered_phantom(config.data, workdir / "data")
    section = config.train
    if validation and not section.validation_path:
        section = dataclasses.replace(section, validation_path=validation)
    return train(dataclasses.replace(config, data=data, train=section), workdir)
