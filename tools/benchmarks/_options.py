"""What options of several parts have in common: numbers within bounds, configurations, phantoms, files of figures."""

import argparse
import ast
import math
import os
from collections.abc import Callable
from pathlib import Path

from endodav_jax.config import Config, config_from_dict, load_config_file
from endodav_jax.data.phantom.config import PhantomConfig
from endodav_jax.errors import UserError
from endodav_jax.files import json_text, whole_file


def at_least(least: int) -> Callable[[str], int]:
    """A type of arguments: whole numbers from `least` on."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text}: give at least {least}")
        return value

    return number


def positive(text: str) -> float:
    """A type of arguments: finite numbers above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: give a number above 0")
    return value


def configuration(name: str, settings: list[str]) -> Config:
    """A configuration by name or file, with fields set as `FIELD=VALUE`.

    Raises:
      UserError: there is no such file or field, or a value contradicts others.
    """
    values = load_config_file(name)
    try:
        values.update_from_flattened_dict(dict(_setting(text) for text in settings))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"--set {' '.join(settings)}: {error.args[0]}; use FIELD=VALUE") from error
    return config_from_dict(values.to_dict())


def _setting(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def phantom(family: str, **fields) -> PhantomConfig:
    """A family's preset with these fields.

    Raises:
      UserError: there is no such family, or a field is out of its range.
    """
    try:
        return PhantomConfig.of(family, **fields)
    except ValueError as error:
        raise UserError(f"phantom {family}: {error}") from error


def figures_file(text: str) -> Path:
    """A type of arguments: a file to write, refused before anything is measured if that is not possible."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder; name a file")
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise argparse.ArgumentTypeError(f"{path}: {above} is not a folder; name another one")
    if not os.access(above, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{path}: nothing can be written to {above}; name another folder")
    return path


def write_figures(figures: dict, path: Path | None) -> None:
    """Writes figures as JSON, whole or not at all; nothing without a path."""
    if path:
        with whole_file(path) as part:
            part.write_text(json_text(figures))
