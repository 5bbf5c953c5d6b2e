"""Every kind of source by its name on the command line, and the options each one's constructor declares."""

import argparse
import dataclasses
import importlib
import inspect
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path

from endodav_jax.data.sources.base import Source
from endodav_jax.errors import UserError

# Kind -> the module and class that read it, and what to give as its place.
KINDS = types.MappingProxyType(
    {
        "scared": ("endodav_jax.data.sources.scared:ScaredSource", "folder or zip file of the download"),
        "hamlyn": ("endodav_jax.data.sources.hamlyn:HamlynSource", "folder that holds rectified01, ..."),
        "c3vd": ("endodav_jax.data.sources.c3vd:C3vdSource", "folder that holds cecum_t1_a, ..."),
        "simcol3d": ("endodav_jax.data.sources.simcol3d:Simcol3dSource", "folder that holds SyntheticColon_I, ..."),
        "endonerf": ("endodav_jax.data.sources.endonerf:EndonerfSource", "a scene, or the folder that holds scenes"),
        "frames": ("endodav_jax.data.sources.frames:FramesSource", "a video or a folder of frames"),
        "phantom": ("endodav_jax.data.sources.phantom:PhantomSource", "a family of phantoms: colon or organ"),
    }
)


@dataclasses.dataclass(frozen=True)
class SourceOption:
    """A keyword of a source's constructor.

    Attributes:
      name: of the keyword.
      kind: the type of its value, or a tuple of the strings it may be.
      default: its default.
      help: what the constructor's documentation says of it.
    """

    name: str
    kind: type | tuple[str, ...]
    default: object
    help: str

    def add_to(self, parser) -> None:
        """Adds `--name` to a parser; nothing given leaves the constructor's default."""
        flag = "--" + self.name.replace("_", "-")
        text = f"{self.help} (default: {self.default})".replace("%", "%%")
        if self.kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        elif isinstance(self.kind, tuple):
            parser.add_argument(flag, choices=self.kind, help=text)
        else:
            parser.add_argument(flag, type=self.kind, metavar=self.kind.__name__.upper(), help=text)


def source_class(kind: str) -> Callable[..., Source]:
    """Returns the class that reads a kind of source.

    Raises:
      UserError: there is no such kind.
    """
    if kind not in KINDS:
        raise UserError(f"{kind}: no kind of data; choose one of {', '.join(KINDS)}")
    module, name = KINDS[kind][0].split(":")
    return getattr(importlib.import_module(module), name)


def source_options(kind: str) -> list[SourceOption]:
    """Returns what a kind's constructor takes beside the place of the data."""
    constructor = source_class(kind).__init__
    hints = typing.get_type_hints(constructor)
    texts = _documented_arguments(inspect.getdoc(constructor) or "")
    return [
        SourceOption(name, _value_type(hints[name]), parameter.default, texts.get(name, ""))
        for name, parameter in inspect.signature(constructor).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]


def _value_type(hint) -> type | tuple[str, ...]:
    """Returns what argparse needs to know of a type: `X | None` is X, a path is a path even if text will do."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    options = [option for option in typing.get_args(hint) or (hint,) if option is not type(None)]
    return Path if Path in options else options[0]


def _documented_arguments(documentation: str) -> dict[str, str]:
    """Returns name -> text of the section `Args:` of a docstring."""
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)*)", documentation, re.MULTILINE)
    if section is None:
        return {}
    entries = re.findall(r"^  (\w+): (.*(?:\n    .*)*)", section[1], re.MULTILINE)
    return {name: " ".join(text.split()).rstrip(".") for name, text in entries}
