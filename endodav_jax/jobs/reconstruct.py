"""`endodav reconstruct`: the camera's path and one surface of a clip, in millimetres where something tells them."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from endodav_jax.fields import spelled
from endodav_jax.reconstruction.config import ReconstructConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """The camera's path and one surface of a clip, in millimetres where something tells them, and how far to trust it.

    Attributes:
      output: folder for everything that is written.
      weights: a converted checkpoint or a training's folder; empty for the networks of the package.
    """

    output: Annotated[Path, spelled("-o", "--output-dir", metavar="FOLDER")]
    weights: str = ""
    reconstruct: tyro.conf.OmitArgPrefixes[ReconstructConfig] = ReconstructConfig()


def run(command: Command) -> int:
    """Runs `endodav reconstruct` and returns its exit code."""
    from endodav_jax.reconstruction.run import reconstruct

    return reconstruct(command.reconstruct, command.output, command.weights)
