"""The card beside a network's weights: what they are, where they come from and under which licence."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from endodav_jax.conversion.recognise import DEPTH_ANYTHING
from endodav_jax.errors import UserError
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.families import FAMILIES, foundation_licence
from endodav_jax.version import __version__

CARD_NAME = "card.json"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Card:
    """What a user should know of some weights.

    Attributes:
      what: one line: the published program or the training run, and the preset.
      licence: under which licence the weights stand, as far as is known.
      sources: files they were made from -> SHA-256.
      notes: how they were taken, one sentence each.
      entries: what else the source files said, such as the size of the frames of its training.
    """

    what: str
    licence: str
    sources: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    entries: dict[str, object] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_json(cls, values: dict) -> "Card":
        """Builds a card from what `dataclasses.asdict` gave; KeyError or TypeError where it is damaged."""
        fields = {field.name: values[field.name] for field in dataclasses.fields(cls)}
        return cls(**fields | {"notes": tuple(fields["notes"])})


def config_from_json(values: dict) -> DepthModelConfig:
    """Builds a configuration from what `dataclasses.asdict` and JSON made of it."""
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return DepthModelConfig(**fields)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The contents of `card.json`: the card and what the program needs to read the weights beside it.

    Attributes:
      card: see `Card`.
      config: of the depth network; None where there is none (a ResNet alone).
      parameters: network -> how many numbers it holds.
      files: path within the folder -> SHA-256, so that damage is noticed before anything is read.
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
        path.write_text(json.dumps(values, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Reads what `write` wrote.

        Raises:
          UserError: the file is missing, damaged, or of a newer program.
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
    """Returns what the published program says about its weights' licence, as far as it binds those derived from them.

    Args:
      program: as `conversion.published_files.Published` names it.
      preset: of the encoder; the licences of small and larger ones differ.
    """
    if program in FAMILIES:
        return FAMILIES[program].licence(preset)
    return {
        DEPTH_ANYTHING: f"Depth Anything V2 {preset} weights: {foundation_licence(preset)}; all V1 weights: Apache-2.0",
        "resnet": "torchvision ResNet weights: BSD-3-Clause; trained on ImageNet, whose terms are non-commercial",
    }[program]
