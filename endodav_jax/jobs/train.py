"""`endodav train`: self-supervised training from a configuration."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from endodav_jax.fields import positional, spelled

if TYPE_CHECKING:
    from endodav_jax.config import Config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Fine-tunes on unlabelled endoscopic video, as set by a configuration.

    Attributes:
      config: a configuration file, or the name of a configuration shipped with the package, such as finetune_own.
      output: folder of the run; rerun to resume.
      data: prepared data set (config.data.path), in place of the configuration's phantom.
      weights: weights to start from (config.weights).
    """

    config: Annotated[str, *positional("CONFIG")]
    output: Annotated[Path, spelled("-o", metavar="FOLDER")]
    data: str = ""
    weights: str = ""


def run(command: Command) -> int | None:
    """Runs the job with the command-line arguments."""
    from endodav_jax.config import config_from_dict, load_config_file

    values = load_config_file(command.config)
    if command.data:
        values.data.path = command.data
        values.data.phantom.family = ""
    if command.weights:
        values.weights = command.weights
    return run_config(config_from_dict(values.to_dict()), command.output)


def run_config(config: "Config", workdir: Path) -> int | None:
    """See `training.run.train`."""
    from endodav_jax.training.run import train

    return train(config, workdir)
