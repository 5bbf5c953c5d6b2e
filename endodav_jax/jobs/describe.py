"""The job `describe`: prints a network's groups of parameters, from shapes alone, so it answers in seconds."""

import argparse
from pathlib import Path

from endodav_jax.config import Config, config_from_dict, load_config_file
from endodav_jax.errors import UserError
from endodav_jax.models.build import abstract_depth_model
from endodav_jax.models.config import BACKBONES, DepthModelConfig
from endodav_jax.models.groups import GroupCount, parameter_table, trainable_groups


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A configuration file, or a published network by family and preset."""
    parser.add_argument("--config", metavar="FILE", help="a file of configs/")
    parser.add_argument("--family", choices=("vda", "endodav", "endodac"), help="a published network")
    parser.add_argument("--preset", choices=tuple(BACKBONES), help="its size (default vitb)", default="vitb")


def run_arguments(args: argparse.Namespace) -> None:
    """Prints the table of what the arguments name."""
    if (args.config is None) == (args.family is None):
        raise UserError("give either --config FILE or --family NAME (with --preset SIZE)")
    if args.config is not None:
        model = config_from_dict(load_config_file(args.config).to_dict()).model
    else:
        model = getattr(DepthModelConfig, args.family)(args.preset)
    print(describe(model))


def run(config: Config, workdir: Path) -> None:
    """Prints the table of a configuration's depth network; nothing is written to `workdir`."""
    print(describe(config.model))


def describe(config: DepthModelConfig) -> str:
    """The network in a line, its table of groups, and how much of it is trained."""
    table = parameter_table(abstract_depth_model(config), trainable_groups(config))
    total = sum(count.parameters for count in table)
    trained = sum(count.parameters for count in table if count.trained)
    height, width = config.image_shape
    adapter = config.adapter + (" with temporal" if config.temporal_adapter else "")
    return "\n".join(
        [
            f"{config.family} {config.preset} at {height}x{width}, adapter {adapter}, {config.head} head",
            "",
            *_lines(table, total),
            "",
            f"{trained:,} trainable of {total:,} ({trained / total:.2%})",
        ]
    )


def _lines(table: list[GroupCount], total: int) -> list[str]:
    rows = [("group", "tensors", "parameters", "trained", "share")]
    for count in table:
        trained = "yes" if count.trained else "no"
        rows.append(
            (count.group, f"{count.tensors:,}", f"{count.parameters:,}", trained, f"{count.parameters / total:.2%}")
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
