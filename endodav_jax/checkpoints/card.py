"""The card stored with a network's weights: what they are, where they come from and their licence."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from endodav_jax.conversion.published_files import RESNET
from endodav_jax.conversion.recognise import DEPTH_ANYTHING
from endodav_jax.errors import UserError
from endodav_jax.files import json_text
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.families import FAMILIES, foundation_licence
from endodav_jax.version import __version__

CARD_NAME = "card.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Card:
    """Information about weights for the user.

    Attributes:
      what: one line: the published program or the training run, and the preset.
      licence: licence of the weights, as far as known.
      sources: files they were made from -> SHA-256.
      notes: how they were read or made, one sentence each.
      entries: further entries of the source files, such as the size of the training frames.
    """

    what: str
    licence: str
    sources: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    entries: dict[str, object] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(cls, values: dict) -> "Card":
        """Builds a card from the result of `dataclasses.asdict`; KeyError or TypeError if it is damaged."""
        fields = {field.name: values[field.name] for field in dataclasses.fields(cls)}
        return cls(**fields | {"notes": tuple(fields["notes"])})


def config_from_json(values: dict) -> DepthModelConfig:
    """Builds a configuration from the result of `dataclasses.asdict`, after conversion to and from JSON."""
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return DepthModelConfig(**fields)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The contents of `card.json`: the card and what the package needs to read the weights beside it.

    Attributes:
      card: see `Card`.
      config: of the depth network; None if there is none (only a ResNet).
      parameters: network -> number of parameters.
      files: path within the folder -> SHA-256, so that damage is detected before anything is read.
    """

    card: Card
    config: DepthModelConfig | None
    parameters: dict[str, int]
    files: dict[str, str]

    def write(self, path: Path) -> None:
        """Writes the JSON file."""
        values = {
            "format": FORMAT,
            "package_version": __version__,
            **dataclasses.asdict(self.card),
            "model": None if self.config is None else dataclasses.asdict(self.config),
            "parameters": self.parameters,
            "files": self.files,
        }
        path.write_text(json_text(values, indent=2))

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Reads a file written by `write`.

        Raises:
          UserError: the file is missing, damaged, or from a newer version.
        """
        try:
            values = json.loads(path.read_text())
            if values["format"] > FORMAT:
                raise UserError(
                    f"{path}: was written by a newer version ({values['package_version']}); upgrade endodav-jax"
                )
            files = {str(name): str(digest) for name, digest in values["files"].items()}
            config = None if values["model"] is None else config_from_json(values["model"])
            return cls(Card.from_json(values), config, dict(values["parameters"]), files)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path}: is damaged ({type(error).__name__}: {error}); convert or copy it again"
            ) from error


def licence_of(program: str, preset: str) -> str:
    """Returns the licence of the published weights, as far as it also applies to weights derived from them.

    Args:
      program: as named by `conversion.published_files.Published`.
      preset: of the encoder; small and larger ones have different licences.
    """
    if program in FAMILIES:
        return FAMILIES[program].licence(preset)
    return {
        DEPTH_ANYTHING: f"Depth Anything V2 {preset} weights: {foundation_licence(preset)}; all V1 weights: Apache-2.0",
        RESNET: "torchvision ResNet weights: BSD-3-Clause; trained on ImageNet, whose terms are non-commercial",
    }[program]
