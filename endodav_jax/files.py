"""Atomic file writes, folders, texts, checksums of files, and numbers as JSON has them."""

import contextlib
import dataclasses
import errno
import glob
import hashlib
import json
import math
import os
import platform
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from endodav_jax.errors import UserError

ABANDONED = 24 * 3600  # seconds without a change after which a temporary file of another machine is nobody's
LONGEST_STEM = 200  # bytes
# What reading an npz file raises if it is cut, damaged, or something else.
DAMAGED_NPZ = (OSError, EOFError, KeyError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


class CannotWriteError(UserError):
    """A file or folder that cannot be written where it was to be."""


@contextlib.contextmanager
def whole_file(path: Path | str, overwrite: bool = True, keep: bool = False) -> Iterator[Path]:
    """Yields a temporary name beside `path`, which is moved to `path` on success and removed on any error.

    The temporary name keeps the suffix (`.part` is put before it), since many writers infer the format from it.
    The writer may create either a file or a folder.  It is this process's own, so that two that write the same path
    do not disturb each other; those left by killed processes are removed.

    Args:
      path: the final name.
      overwrite: replace what has this name.
      keep: for caches, which any process may fill: if another one has written `path` meanwhile, that stays.

    Raises:
      UserError: `path` exists and `overwrite` is false, or it cannot be written (a full disk, no permission).
    """
    path = Path(path)
    if not overwrite:
        refuse_existing(path)
    make_folder(path.parent)
    _remove_abandoned(path)
    aside = path.with_name(f"{path.stem}.before{path.suffix}")
    if path.exists():  # otherwise what a killed process has moved aside may be all that is left
        _remove_abandoned(aside)
    part, before = _part(path), _part(aside)
    try:
        yield part
        if keep and path.exists():
            return
        for file in part.rglob("*") if part.is_dir() else [part]:
            if not file.is_dir() and not file.is_symlink():
                _let_others_read(file)
        if part.is_dir() and path.exists():  # a folder cannot be moved onto a file, nor onto a folder that is not empty
            os.replace(path, before)
        try:
            os.replace(part, path)
        except OSError:
            if not (keep and path.exists()):
                raise
    except Exception as error:  # libraries raise errors of their own for a full disk
        reason = write_failure(error)
        if reason is None:
            raise
        raise CannotWriteError(f"{path}: cannot be written ({reason}); free space or choose another folder") from error
    finally:
        if before.exists() and not path.exists():  # moved aside, and nothing came in its place
            os.replace(before, path)
        remove(before)
        remove(part)


@contextlib.contextmanager
def moved_together(folder: Path, name: str, last: str) -> Iterator[Path]:
    """Yields a temporary folder in `folder`, whose files are moved there at the end, one right after the other.

    Files of these names are replaced.  On any error the temporary folder is removed; those left by killed processes are
    removed as well.

    Args:
      folder: where the files are to be; it exists.
      name: a name for the temporary folder.
      last: the file, as a path in the folder, that tells that the others are complete.

    Raises:
      UserError: a file cannot be written.
    """
    _remove_abandoned(folder / name)
    staging = _part(folder / name)
    try:
        make_folder(staging)
        yield staging
        files = [path.relative_to(staging) for path in sorted(staging.rglob("*")) if not path.is_dir()]
        for file in sorted(files, key=lambda file: file == Path(last)):
            make_folder((folder / file).parent)
            try:
                os.replace(staging / file, folder / file)
            except OSError as error:
                raise CannotWriteError(
                    f"{folder / file}: cannot be written ({error.strerror}); remove it or choose another folder"
                ) from error
    finally:
        remove(staging)


def _part(path: Path) -> Path:
    """The temporary name of this process for a file or folder."""
    return path.with_name(f"{path.stem}.{_process()}.part{path.suffix}")


def _let_others_read(file: Path) -> None:
    """Gives a file the permissions of a new one in its folder: safetensors lets nobody but the owner read its files."""
    mode = file.stat().st_mode
    if mode & 0o044 == 0o044:
        return
    new = file.with_name(f"{file.name}.mode")  # the umask can only be read by setting it, for all threads
    try:
        new.touch(0o666)
        file.chmod(mode | new.stat().st_mode & 0o666)
    finally:
        remove(new)


def _process() -> str:
    """Names this process among those that may write to the same folder from several machines."""
    return f"{zlib.crc32(platform.node().encode()):08x}-{os.getpid()}"


def _remove_abandoned(path: Path) -> None:
    """Removes temporary files for `path` whose processes have ended."""
    machine, own = _process().split("-")
    pattern = re.compile(rf"{re.escape(path.stem)}\.([0-9a-f]{{8}})-(\d+)\.part{re.escape(path.suffix)}")
    for name in glob.glob(f"{glob.escape(path.stem)}.*.part{glob.escape(path.suffix)}", root_dir=path.parent):
        match = pattern.fullmatch(name)
        if match is None:
            continue
        part = path.with_name(name)
        with contextlib.suppress(OSError):  # another process removes it, too
            ended = match[1] == machine and (match[2] == own or not _runs(int(match[2])))
            if ended or time.time() - part.stat().st_mtime > ABANDONED:
                remove(part)


def _runs(process: int) -> bool:
    """Whether a process of this machine runs; True where that cannot be asked without harm."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def write_failure(error: Exception) -> str | None:
    """Returns why something could not be written, as the system says it; None if the error is about something else.

    Orbax, safetensors and converters in other processes pass the system's error on in the text of their own.
    """
    if isinstance(error, UserError):
        return None
    if isinstance(error, OSError):
        return error.strerror or str(error)
    full = os.strerror(errno.ENOSPC)
    if full in str(error):
        return full
    match = re.search(r"I/O error: ([^(]+)", str(error)) if isinstance(error, SafetensorError) else None
    return match[1].strip() if match else None


def make_folder(path: Path) -> None:
    """Creates a folder if it does not exist.

    Raises:
      UserError: it cannot be created, or a file has its name.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        file = next(place for place in (path, *path.parents) if place.exists())
        raise CannotWriteError(f"{path}: cannot create this folder ({file} is a file); choose another one") from error
    except OSError as error:
        raise CannotWriteError(f"{path}: cannot create this folder ({error.strerror}); choose another one") from error


def shortened(stem: str) -> str:
    """Returns a name for a file without its suffix, cut and ended by its digest where file systems may not take it.

    They take 255 bytes, of which the suffix and the temporary name of `whole_file` need some.
    """
    encoded = stem.encode(errors="surrogateescape")
    if len(encoded) <= LONGEST_STEM:
        return stem
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    return f"{encoded[: LONGEST_STEM - 13].decode(errors='ignore')}-{digest}"


@contextlib.contextmanager
def open_npz(path: Path | str) -> Iterator[Mapping[str, np.ndarray]]:
    """Yields the arrays of an npz file, without Python objects; raises one of `DAMAGED_NPZ` if it is damaged.

    NumPy leaves a file open that it finds damaged, so it is not opened by NumPy.
    """
    with open(path, "rb") as file, np.load(file) as arrays:
        yield arrays


def size_text(count: float) -> str:
    """Returns a number of bytes as a person says it."""
    size, unit = next(((size, unit) for size, unit in ((1e9, "GB"), (1e6, "MB")) if count >= size), (1e3, "kB"))
    return f"{count / size:.1f} {unit}"


def refuse_existing(path: Path) -> None:
    """Raises `UserError` if there is a file or folder of this name."""
    if path.exists():
        raise UserError(f"{path}: already exists; pass --overwrite to replace it")


def remove(path: Path) -> None:
    """Removes a file or folder if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def read_text(path: Path, cure: str, name: str = "") -> str:
    """Returns the text of a user's file: UTF-8, with or without a byte order mark.

    Args:
      path: the file.
      cure: what to do if it cannot be read, for the message.
      name: what the message calls it; by default its path.

    Raises:
      UserError: it is missing, cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "not text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise UserError(f"{name or path}: cannot be read ({reason}); {cure}") from error


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


def sha256_of_weights(arrays: Mapping[str, np.ndarray]) -> str:
    """Returns the SHA-256 of arrays by name, whatever their order and type: names, shapes and values as float32."""
    contiguous = ((name, np.ascontiguousarray(arrays[name], np.dtype("<f4"))) for name in sorted(arrays))
    return sha256_of_arrays((f"{name} {array.shape}", array) for name, array in contiguous)


def sha256_of(path: Path | str) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_text(value, indent: int | None = 1) -> str:
    """Returns the JSON of a tree that `finite` takes, as every program reads it: NaN and Infinity are null."""
    return json.dumps(finite(value), indent=indent, allow_nan=False) + "\n"


def finite(value):
    """Returns a tree of dictionaries, lists and numbers with None for every number that JSON cannot represent.

    Dataclasses become dictionaries, arrays lists, and NumPy's numbers Python's.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    elif isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
