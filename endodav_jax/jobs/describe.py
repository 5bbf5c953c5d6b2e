"""The job `describe`: prints the parameter groups of a network, using shapes only, so it takes seconds."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from endodav_jax.choices import Preset
from endodav_jax.errors import UserError
from endodav_jax.fields import spelled

if TYPE_CHECKING:
    from endodav_jax.config import Config
    from endodav_jax.models.config import DepthModelConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Prints a network and its table of parameter groups, for a configuration or a published network.

    Attributes:
      config: a configuration file, or the name of a configuration shipped with the package.
      family: family of the published network: vda, endodav or endodac.
      preset: size of the published network; by default vitb.
    """

    config: Annotated[str, spelled(metavar="CONFIG")] = ""
    family: str | None = None
    preset: Preset | None = None


def run(command: Command) -> None:
    """Prints the table for the network that the arguments select."""
    if bool(command.config) == (command.family is not None) or (command.config and command.preset is not None):
        raise UserError("give either --config FILE or --family NAME (with --preset SIZE)")
    from endodav_jax.config import read_config
    from endodav_jax.models import FAMILIES, DepthModelConfig

    if command.config:
        model = read_config(command.config).model
    else:
        if command.family not in FAMILIES:
            raise UserError(f"--family: {command.family} is not one of {', '.join(FAMILIES)}")
        model = DepthModelConfig.published(command.family, command.preset or "vitb")
    print(describe(model))


def run_config(config: "Config", workdir: Path) -> None:
    """Prints the table for the depth network of a configuration; nothing is written to `workdir`."""
    print(describe(config.model))


def describe(config: "DepthModelConfig") -> str:
    """Returns a line about the network, its table of groups, and how many of its parameters are trained."""
    from endodav_jax.models.build import abstract_depth_model
    from endodav_jax.models.groups import parameter_table, table_lines, trainable_groups, trained_and_total

    table = parameter_table(abstract_depth_model(config), trainable_groups(config))
    trained, total = trained_and_total(table)
    height, width = config.image_shape
    adapter = config.adapter + (" with temporal" if config.temporal_adapter else "")
    return "\n".join(
        [
            f"{config.family} {config.preset} at {height}x{width}, adapter {adapter}, {config.head} head",
            "",
            *table_lines(table),
            "",
            f"{trained:,} trainable of {total:,} ({trained / total:.2%})",
        ]
    )
