"""`pretrain`: trains a small foundation model on the phantom."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from endodav_jax.fields import spelled

if TYPE_CHECKING:
    from endodav_jax.config import Config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Trains a small foundation model on the phantom.

    Attributes:
      output: folder of the run; rerun to resume.
      config: a configuration file, or the name of a configuration shipped with the package.
    """

    output: Annotated[Path, spelled("-o", metavar="FOLDER")]
    config: Annotated[str, spelled(metavar="CONFIG")] = "pretrain_phantom"


def run(command: Command) -> None:
    """Runs the job with the command-line arguments."""
    from endodav_jax.config import read_config

    run_config(read_config(command.config), command.output)


def run_config(config: "Config", workdir: Path) -> None:
    """See `pretraining.run.pretrain`."""
    from endodav_jax.pretraining.run import pretrain

    pretrain(config, workdir)
