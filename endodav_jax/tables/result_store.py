"""Finished results on disk, found again by everything that they depend on."""

import json
import math
from collections.abc import Callable
from pathlib import Path

from endodav_jax.files import sha256_of_text, whole_file

_DIGITS = 12  # of a digest in a file's name: no two results of one folder will share them


def digest_of(identity: object) -> str:
    """Returns the first digits of the SHA-256 of anything that JSON can hold."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return sha256_of_text(text)[:_DIGITS]


def stored_result(folder: Path, name: str, identity: dict, compute: Callable[[], dict]) -> tuple[dict, bool]:
    """Returns a result that was kept, or computes and keeps it.

    Args:
      folder: where results are kept.
      name: first part of the file's name, for people.
      identity: everything the result depends on; anything else there is another result.
      compute: called where the result is not there yet.

    Returns:
      The result as JSON gives it back, and whether it was there; numbers that are not finite are None.
    """
    path = folder / f"{name}-{digest_of(identity)}.json"
    found = _read(path)
    if found is not None:
        return found, True
    result = json.loads(json.dumps(finite(compute())))
    with whole_file(path) as part:
        part.write_text(json.dumps({"identity": identity, "result": result}, indent=1, default=str) + "\n")
    return result, False


def finite(value):
    """Returns a tree of dictionaries, lists and numbers with None for every number that JSON does not know."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read(path: Path) -> dict | None:
    """Returns the result in a file; None where there is none, or where a disk has damaged it."""
    try:
        return json.loads(path.read_text())["result"]
    except (OSError, ValueError, KeyError):
        return None
