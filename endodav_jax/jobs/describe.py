"""The job `describe`: prints a network's groups of parameters, from shapes alone, so it answers in seconds."""

import dataclasses
from pathlib import Path
from typing import Annotated

from endodav_jax.config import Config, config_from_dict, load_config_file
from endodav_jax.errors import UserError
from endodav_jax.fields import spelled
from endodav_jax.models.build import abstract_depth_model
from endodav_jax.models.config import DepthModelConfig, Preset
from endodav_jax.models.families import FAMILIES
from endodav_jax.models.groups import GroupCount, parameter_table, trainable_groups


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Prints a network and its table of parameter groups: of a configuration, or of a published network.

    Attributes:
      config: a configuration: a file, or the name of one that comes with the package.
      family: the published network of a family: vda, endodav or endodac.
      preset: its size.
    """

    config: Annotated[str, spelled(metavar="CONFIG")] = ""
    family: str | None = None
    preset: Preset = "vitb"


def run(command: Command) -> None:
    """Prints the table of what the arguments name."""
    if bool(command.config) == (command.family is not None):
        raise UserError("give either --config FILE or --family NAME (with --preset SIZE)")
    if command.config:
        model = config_from_dict(load_config_file(command.config).to_dict()).model
    else:
        if command.family not in FAMILIES:
            raise UserError(f"--family: {command.family} is not one of {', '.join(FAMILIES)}")
        model = DepthModelConfig.published(command.family, command.preset)
    print(describe(model))


def run_config(config: Config, workdir: Path) -> None:
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
