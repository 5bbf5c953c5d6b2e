"""Files that appear under their final name only when they are whole, and checksums of files."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from endodav_jax.errors import UserError


@contextlib.contextmanager
def whole_file(path: Path | str, overwrite: bool = True) -> Iterator[Path]:
    """Yields a temporary name beside `path`; on success it is moved there, on any error it is removed.

    The temporary name keeps the suffix (`.part` is put before it), since many writers choose the format by it.

    Raises:
      UserError: `path` exists and `overwrite` is false, or the disk is full.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise UserError(f"{path}: exists already; pass --overwrite to replace it")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def sha256_of(path: Path | str) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
