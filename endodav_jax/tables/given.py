"""The inputs that the user must provide for a row, and where to get them."""

import dataclasses
from pathlib import Path
from typing import Literal

from endodav_jax.choices import Precision
from endodav_jax.tables.rows import NETWORKS, Row

# Option of the command -> what it expects and where to get it.
WHERE = {
    "scared": "SCARED: sign the challenge's agreement (endovissub2019-scared.grand-challenge.org) and download "
    "dataset_1 to dataset_9; a folder that `endodav prepare scared` made will do as well",
    "hamlyn": "Hamlyn: the rectified release of Endo-Depth-and-Motion (github.com/UZ-SLAMLab/Endo-Depth-and-Motion), "
    "folders rectified01 to rectified27",
    "vda": "video_depth_anything_vitb.pth, the Base weights of Video-Depth-Anything "
    "(github.com/DepthAnything/Video-Depth-Anything), CC-BY-NC-4.0: no commercial use",
}


@dataclasses.dataclass(frozen=True)
class Given:
    """What is there to reproduce the table from; None if not given.

    Attributes:
      scared: the download, or a folder prepared from it by `endodav prepare` (or a folder above that).
      hamlyn: the rectified release, or likewise.
      vda: Video-Depth-Anything's weights (vitb.pth), published or converted.
      endodac: a trained network, published or from this package, instead of training it.
      endodav: likewise.
      endodav_without_projection: likewise, trained without projection loss.
      depth_anything: Depth Anything V1 weights, from which the published EndoDAC starts; without them it starts from
        the encoder and head of `vda`.
      resnet: ResNet-18 weights of torchvision for the motion networks; random if not given.
      scared_split: which of the published lists to evaluate: `test`, `validation` or `eval`.
      hamlyn_split: likewise: `test` is the list of 21 sequences, `validation` that of five.
      precision: precision of training and inference.
      seed: seed of all training runs.
    """

    scared: Path | None = None
    hamlyn: Path | None = None
    vda: Path | None = None
    endodac: Path | None = None
    endodav: Path | None = None
    endodav_without_projection: Path | None = None
    depth_anything: Path | None = None
    resnet: Path | None = None
    scared_split: Literal["test", "validation", "eval"] = "test"
    hamlyn_split: Literal["test", "validation"] = "test"
    precision: Precision = "float32"
    seed: int = 0


def missing_options(row: Row, given: Given) -> tuple[str, ...]:
    """Returns the missing keys of `WHERE` for a row; a network that is given does not need training."""
    needed: list[str] = [row.data]
    starts = NETWORKS[row.network].starts
    if not starts:
        needed.append(row.network)
    elif getattr(given, row.network) is None:
        needed.append("scared")
        if all(getattr(given, start) is None for start in starts if start != "vda"):
            needed.append("vda")
    return tuple(option for option in WHERE if option in needed and getattr(given, option) is None)
