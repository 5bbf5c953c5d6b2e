"""`endodav quickstart`: from rendered video to report, with a built-in default configuration."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from endodav_jax.fields import spelled

if TYPE_CHECKING:
    from endodav_jax.config import Config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Runs everything on a rendered phantom: evaluate, fine-tune without labels, evaluate again, report.

    Attributes:
      output: folder for everything; rerun to resume.
      config: a configuration file, or the name of a configuration shipped with the package.
    """

    output: Annotated[Path, spelled("-o", metavar="FOLDER")] = Path("out/quickstart")
    config: Annotated[str, spelled(metavar="CONFIG")] = "quickstart"


def run(command: Command) -> int | None:
    """Runs the job with the command-line arguments."""
    from endodav_jax.config import read_config

    return run_config(read_config(command.config), command.output)


def run_config(config: "Config", workdir: Path) -> int | None:
    """See `quickstart.run.quickstart`."""
    from endodav_jax.quickstart.run import quickstart

    return quickstart(config, workdir)
