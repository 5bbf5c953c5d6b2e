"""Finished results on disk, keyed by everything they depend on."""

import json
from collections.abc import Callable
from pathlib import Path

from endodav_jax.files import finite, sha256_of_text, whole_file

_DIGITS = 12  # of a digest in a file name: enough to avoid collisions within a folder


def digest_of_identity(identity: object) -> str:
    """Returns the first digits of the SHA-256 of a JSON-compatible value."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return sha256_of_text(text)[:_DIGITS]


def stored_result(folder: Path, name: str, identity: dict, compute: Callable[[], dict]) -> tuple[dict, bool]:
    """Returns a stored result, or computes and stores it.

    Args:
      folder: folder of the results.
      name: human-readable first part of the file name.
      identity: everything the result depends on; the key of the result.
      compute: called if the result is not stored yet.

    Returns:
      The result as read back from JSON, and whether it was stored before; numbers that are not finite are None.
    """
    path = folder / f"{name}-{digest_of_identity(identity)}.json"
    found = _read(path)
    if found is not None:
        return found, True
    result = json.loads(json.dumps(finite(compute())))
    with whole_file(path) as part:
        stored = finite({"identity": identity, "result": result})
        part.write_text(json.dumps(stored, indent=1, default=str, allow_nan=False) + "\n")
    return result, False


def _read(path: Path) -> dict | None:
    """Returns the result in a file; None if there is none or it is damaged."""
    try:
        return json.loads(path.read_text())["result"]
    except (OSError, ValueError, KeyError):
        return None
