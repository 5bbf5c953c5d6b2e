"""The description of an exported network: metadata in ONNX files, JSON beside OpenVINO and StableHLO files."""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import numpy as np

from endodav_jax.checkpoints.card import Card, config_from_json
from endodav_jax.errors import UserError
from endodav_jax.files import json_text, sha256_of
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.depth_input import IMAGENET_DEVIATION, IMAGENET_MEAN
from endodav_jax.version import __version__

Format = Literal["onnx", "openvino", "stablehlo"]
Storage = Literal["float32", "float16", "int8"]

KIND = "endodav_jax exported network"
FORMAT_VERSION = 1
MANIFEST_NAME = "network.json"  # in a folder of parts
OUTPUTS = {
    "disparity": {"name": "disparity", "units": "inverse depth up to scale and shift, non-negative; near is large"},
    "metric_depth": {"name": "depth", "units": "metres along the optical axis"},
}
_NORMALISATION = {
    "mean": np.round(IMAGENET_MEAN.astype(float), 3).tolist(),
    "standard_deviation": np.round(IMAGENET_DEVIATION.astype(float), 3).tolist(),
    "applied": "within the network",
}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Information for readers of an exported file.

    Attributes:
      format: of the files.
      storage: type of the weights in them; inputs and outputs are always float32.
      config: of the network, with adapters folded in.
      card: describes the weights and their licence.
      parts: name -> file within the folder.
      weights_digest: SHA-256 of the weights, to distinguish copies from other networks.
      ports: part -> its `inputs` and `outputs` (name -> shape, in order; "batch" is a dynamic axis); for readers alone.
      opset: of ONNX files; None for other formats, and in files from before it was recorded.
      digests: file within the folder -> its SHA-256.
      stablehlo: of such files, what a reader must support (`jax`, `calling_convention_version`, `platforms`).
    """

    format: Format
    storage: Storage
    config: DepthModelConfig
    card: Card
    parts: dict[str, str]
    weights_digest: str
    ports: dict[str, dict] = dataclasses.field(default_factory=dict)
    opset: int | None = None
    digests: dict[str, str] = dataclasses.field(default_factory=dict)
    stablehlo: dict[str, object] | None = None

    def to_text(self) -> str:
        """Everything as JSON."""
        return json_text({"kind": KIND, "version": FORMAT_VERSION, "package_version": __version__,
                          "input": "RGB in [0, 1], float32, channels first",
                          "normalisation": _NORMALISATION if self.config.normalise else None,
                          "output": OUTPUTS[self.config.output],
                          **dataclasses.asdict(self)}).rstrip("\n")  # fmt: skip

    @classmethod
    def from_text(cls, text: str, name: str) -> "Manifest":
        """Reads text written by `to_text`.

        Raises:
          UserError: it is damaged, describes something else, or is from a newer version.
        """
        try:
            values = json.loads(text)
            if values["kind"] != KIND:
                raise KeyError("kind")
            parts, digests = dict(values["parts"]), dict(values.get("digests", {}))
            if not all(isinstance(word, str) for word in (*parts.values(), *digests.values())):
                raise TypeError("names and digests are text")
            if values["version"] > FORMAT_VERSION:
                raise UserError(f"{name}: was written by endodav-jax {values['package_version']}; upgrade this one")
            return cls(
                values["format"], values["storage"], config_from_json(values["config"]),
                Card.from_json(values["card"]), parts, values["weights_digest"],
                values.get("ports", {}), values.get("opset"), digests, values.get("stablehlo"),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{name}: describes no exported network; write one with `endodav export`") from error

    @classmethod
    def of_folder(cls, folder: Path) -> "Manifest":
        """Reads the manifest of a folder of parts.

        Raises:
          UserError: there is none, or it is damaged.
        """
        path = folder / MANIFEST_NAME
        try:
            return cls.from_text(path.read_text(encoding="utf-8", errors="replace"), str(path))
        except OSError as error:
            raise UserError(
                f"{folder}: not an exported network (no {MANIFEST_NAME} in it); write one with `endodav export`"
            ) from error

    def of_files(self, folder: Path) -> "Manifest":
        """The same with the digests of all files in a folder."""
        return dataclasses.replace(self, digests={path.name: sha256_of(path) for path in sorted(folder.iterdir())})

    def check_files(self, folder: Path) -> None:
        """Raises `UserError` if a file of the folder is missing or not the one that was written."""
        for name, digest in self.digests.items():
            path = folder / name
            if not path.is_file() or sha256_of(path) != digest:
                raise UserError(f"{path}: is missing or damaged (its SHA-256 differs); export the network again")
