"""Helpers shared by configuration dataclasses: checks of choices and numbers, and the spelling of fields in commands.

A configuration is a frozen dataclass.  Its fields, their types, defaults and choices (`Literal`) and the section
`Attributes:` of its docstring are the single source: `config.base_config` builds a ConfigDict from them, and tyro
builds the arguments of the `endodav` commands, including their help.
"""

import dataclasses
import math
import os
import re
import types
import typing
from collections.abc import Collection, Iterator
from pathlib import Path

import tyro


def spelled(*names: str, metavar: str | None = None) -> object:
    """Returns an annotation for `Annotated` that adds alternative spellings (`-o`) and a name for the value."""
    return tyro.conf.arg(aliases=names, metavar=metavar)


def positional(metavar: str) -> tuple:
    """Returns annotations that make a field a positional argument: `Annotated[str, *positional("INPUT")]`."""
    return tyro.conf.Positional, tyro.conf.arg(metavar=metavar)


def flat(kind: type) -> typing.Any:
    """Returns the type of a field whose own fields become arguments of the command itself, without a prefix.

    Use it for dataclasses created at run time; for others write `tyro.conf.OmitArgPrefixes[TheClass]`.
    """
    return typing.Annotated[kind, tyro.conf.OmitArgPrefixes]


def choices(hint) -> tuple | None:
    """Returns the values allowed by a `Literal`, or by a union or tuple of them; None for any other type."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return typing.get_args(hint)
    if origin is tuple:
        return choices(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        values: tuple = ()
        for option in typing.get_args(hint):
            allowed = choices(option)
            if allowed is None:
                return None
            values += allowed
        return values
    return None


def check_choices(config, section: str) -> None:
    """Raises `ValueError` if a field of a dataclass has a value that its `Literal` does not allow.

    Args:
      config: the dataclass, being built.
      section: its place in a complete configuration, for the message; empty for none.
    """
    place = f"{section}." if section else ""
    for name, hint in typing.get_type_hints(type(config)).items():
        allowed = choices(hint)
        if allowed is None:
            continue
        value = getattr(config, name)
        for item in value if typing.get_origin(hint) is tuple else (value,):
            if item not in allowed:
                known = ", ".join(str(choice) for choice in allowed if choice != "")
                raise ValueError(f"{place}{name}: {item!r} is not one of {known}")


def check_numbers(config, section: str, positive: Collection[str] = (), signed: Collection[str] = ()) -> None:
    """Raises `ValueError` if a number in a dataclass, or in a tuple of it, is not finite or is below what it may be.

    Args:
      config: the dataclass, being built.
      section: its place in a complete configuration, for the message; empty for the configuration itself.
      positive: fields that must be at least 1, or, of floats, above 0.
      signed: fields that may be negative; all others must not.
    """
    for field in dataclasses.fields(config):
        where = f"{section}.{field.name}" if section else field.name
        for value in _numbers(getattr(config, field.name)):
            if not math.isfinite(value):
                raise ValueError(f"{where}: {value} must be a finite number")
            if field.name in positive and value <= 0:
                raise ValueError(f"{where}: {value} must be {'at least 1' if isinstance(value, int) else 'positive'}")
            if field.name not in signed and value < 0:
                raise ValueError(f"{where}: {value} must not be negative")


def _numbers(value: object) -> Iterator[int | float]:
    """Yields the value, if it is a number, or the numbers in a tuple, however deep."""
    if isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def user_path(text: str) -> str:
    """Returns a path, or any other text, with a leading `~` replaced by the home folder.

    Shells do that only for words that begin with it, and neither for `--output=~/x` nor in the files of schedulers.
    """
    return os.path.expanduser(text) if text.startswith("~") and not os.path.lexists(text) else text


def named_path(text: str) -> Path:
    """Returns the path of an option; raises `ValueError` if it is empty, as from a variable that is not set."""
    if not text.strip():
        raise ValueError("is empty; name a file or folder, or . for the current one")
    return Path(user_path(text))


def listed(text: str) -> tuple[str, ...]:
    """Returns the items of `a,b,c`; `none` and the empty string give an empty list."""
    return tuple(part.strip() for part in text.split(",") if part.strip() and part.strip() != "none")


def size(text: str) -> tuple[int, int]:
    """Returns (height, width) for `HxW`; raises `ValueError` for anything else."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or "0" in match.groups():
        raise ValueError(f"{text!r} is not HEIGHTxWIDTH, as in 256x320")
    return int(match[1]), int(match[2])


# For a tuple of strings: a comma-separated list in one word.
Listed = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="A,B,...",
    instance_from_str=lambda words: listed(words[0]),
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=lambda value: [",".join(value) or "none"],
)

# For `tuple[int, int] | None`: height and width in one word; None if not given.
Size = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="HxW",
    instance_from_str=lambda words: size(words[0]),
    is_instance=lambda value: value is None or isinstance(value, tuple),
    str_from_instance=lambda value: ["as it is" if value is None else f"{value[0]}x{value[1]}"],
)

# Every option that is a `Path`, or may be one, is read by `named_path`.
OPTIONS = tyro.constructors.ConstructorRegistry()


@OPTIONS.primitive_rule
def _path_option(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
    if info.type not in (Path, Path | None):
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: named_path(words[0]),
        is_instance=lambda value: value is None or isinstance(value, Path),
        str_from_instance=lambda value: [str(value)],
    )
