"""Checks calls of the package against the types and shapes in its signatures while tests run."""

import types
import typing
from collections.abc import Callable
from typing import Any

import jax
import jaxtyping
import numpy as np
from beartype import BeartypeConf, beartype

# An int is accepted for a float, as in PEP 484 and in every type checker.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check_arrays(function: Callable) -> Callable:
    """Like `check`, but only for arguments and results that are arrays: tests pass stand-ins for other objects."""
    function.__annotations__ = {name: hint for name, hint in function.__annotations__.items() if _is_array(hint)}
    return check(function)


def check_signatures(*packages: str) -> None:
    """Checks every signature in modules of `packages` that are imported from now on.

    JAX functions accept NumPy arrays, and so do those of this package, so `Array` stands for both here.
    """
    _install(packages, "check")


def check_array_signatures(*packages: str) -> None:
    """Does the same for the arrays in signatures only; see `check_arrays`."""
    _install(packages, "check_arrays")


def _install(packages: tuple[str, ...], checker: str) -> None:
    jaxtyping.Array = jax.Array | np.ndarray
    jaxtyping.install_import_hook(packages, f"{__name__}.{checker}")


def _is_array(hint: Any) -> bool:
    """Whether a type is an array type, or a tuple or union (with None) of such types."""
    if isinstance(hint, type) and issubclass(hint, np.ndarray | jax.Array | jaxtyping.AbstractArray):
        return True
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin not in (tuple, typing.Union, types.UnionType):
        return origin is np.ndarray
    parts = tuple(part for part in parts if part not in (type(None), ...))
    return bool(parts) and all(map(_is_array, parts))
