"""`endodav reconstruct`: camera path and fused surface of a clip, in millimetres if the scale is known."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from endodav_jax.fields import spelled
from endodav_jax.reconstruction.config import ReconstructConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Camera path and fused surface of a clip, in millimetres if the scale is known, with confidence.

    Attributes:
      output: folder for all outputs.
      weights: a converted checkpoint or the folder of a training run; empty for shipped-mixed, our own.
    """

    output: Annotated[Path, spelled("-o", "--output-dir", metavar="FOLDER")]
    weights: str = ""
    reconstruct: tyro.conf.OmitArgPrefixes[ReconstructConfig] = ReconstructConfig()


def run(command: Command) -> int:
    """Runs `endodav reconstruct` and returns its exit code."""
    from endodav_jax.reconstruction.run import reconstruct

    return reconstruct(command.reconstruct, command.output, command.weights)
