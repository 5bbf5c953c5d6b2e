"""Atomic file writes, folders, and checksums of files."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from endodav_jax.errors import UserError

_UMASK = os.umask(0)  # can only be read by setting it
os.umask(_UMASK)


@contextlib.contextmanager
def whole_file(path: Path | str, overwrite: bool = True) -> Iterator[Path]:
    """Yields a temporary name beside `path`, which is moved to `path` on success and removed on any error.

    The temporary name keeps the suffix (`.part` is put before it), since many writers infer the format from it.
    The writer may create either a file or a folder.

    Raises:
      UserError: `path` exists and `overwrite` is false, or it cannot be written (a full disk, no permission).
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise UserError(f"{path}: already exists; pass --overwrite to replace it")
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    make_folder(path.parent)
    try:
        _remove(part)  # left by a run that was killed
        yield part
        if part.is_dir():
            _remove(path)  # a folder cannot be moved onto a folder that is not empty
        else:
            part.chmod(part.stat().st_mode | 0o666 & ~_UMASK)  # safetensors lets nobody but the owner read its files
        os.replace(part, path)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path}: cannot be written ({reason}); free space or choose another folder") from error
    finally:
        _remove(part)


def make_folder(path: Path) -> None:
    """Creates a folder if it does not exist.

    Raises:
      UserError: it cannot be created, or a file has its name.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        file = next(place for place in (path, *path.parents) if place.exists())
        raise UserError(f"{path}: cannot create this folder ({file} is a file); choose another one") from error
    except OSError as error:
        raise UserError(f"{path}: cannot create this folder ({error.strerror}); choose another one") from error


def _remove(path: Path) -> None:
    """Removes a file or folder if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def sha256_of_text(text: str) -> str:
    """Returns the SHA-256 of a text in UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_arrays(arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    """Returns the SHA-256, in hexadecimal, of headings and contiguous arrays: each heading line, then the bytes."""
    digest = hashlib.sha256()
    for heading, array in arrays:
        digest.update(f"{heading}\n".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def sha256_of(path: Path | str) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
