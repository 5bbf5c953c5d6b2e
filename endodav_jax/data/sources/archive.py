"""Members of a `.tar.gz` by frame index, read once from front to back in bounded memory.

SCARED's archives hold up to 70 GB unpacked, so they are neither unpacked nor kept: members are decoded as they are
read.  A member that comes before its turn waits as an `.npy` file in a temporary folder (a sorted archive needs
none; a shuffled one needs room there for its decoded maps).  As long as an archive has been sorted, a member that is
overtaken by `LOOKAHEAD` later ones is taken to be missing.
"""

import contextlib
import gzip
import re
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO

import numpy as np

from endodav_jax.data.sources.decode import Unreadable
from endodav_jax.errors import UserError

LOOKAHEAD = 16


def indexed_members(file: IO[bytes], name: str, pattern: str) -> Generator[tuple[int, str, bytes]]:
    """Yields (index, member's name, bytes) in the order of the archive; the index is the pattern's first group.

    Raises:
      Unreadable: the archive breaks off or is damaged.
    """
    last = "its beginning"
    try:
        # GzipFile expands in bounded pieces, which tarfile's own "r|gz" does not.
        expanded = gzip.GzipFile(fileobj=file) if name.endswith("gz") else contextlib.nullcontext(file)
        with expanded as plain, tarfile.open(fileobj=plain, mode="r|", bufsize=1 << 20) as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # otherwise the list of all members would grow
                match = re.search(pattern, Path(member.name).name)
                if not member.isfile() or match is None or Path(member.name).name.startswith("."):
                    continue
                content = tar.extractfile(member)
                data = b"" if content is None else content.read()
                if len(data) != member.size:
                    raise EOFError("unexpected end of data")
                last = Path(member.name).name
                yield int(match[1]), last, data
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError) as error:
        raise Unreadable(f"{name} breaks off after {last} ({error}); download it again") from error


class OrderedArchive:
    """Decoded members of an archive, asked for by ascending index."""

    def __init__(self, file: IO[bytes], name: str, pattern: str, decode: Callable[[bytes, str], np.ndarray]):
        """Starts reading.

        Args:
          file: the archive.
          name: its name, for messages.
          pattern: a regular expression on members' names whose first group is the index.
          decode: bytes and name of a member to an array, or `Unreadable`.
        """
        self._name = name
        self._decode = decode
        self._members = indexed_members(file, name, pattern)
        self._scratch: tempfile.TemporaryDirectory | None = None
        self._waiting: dict[int, Path | Unreadable] = {}
        self._last = -1
        self._sorted = True
        self._end: str | None = None

    def get(self, index: int) -> np.ndarray:
        """Returns the member with an index, which must not be below earlier ones.

        Raises:
          Unreadable: it is missing or damaged, or the archive breaks off before it.
        """
        if index in self._waiting:
            return self._take(index)
        while self._end is None and not (self._sorted and self._overtaken(index) >= LOOKAHEAD):
            try:
                arrived, name, data = next(self._members)
            except StopIteration:
                self._end = f"{self._name} has no member for it"
                break
            except Unreadable as error:
                self._end = str(error)
                break
            self._sorted = self._sorted and arrived > self._last
            self._last = arrived
            if arrived == index:
                return self._decode(data, name)
            if arrived > index:
                self._keep(arrived, name, data)
        raise Unreadable(self._end or f"{self._name} has no member for it")

    def close(self) -> None:
        """Removes the members waiting on disk."""
        self._members.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _overtaken(self, index: int) -> int:
        return sum(waiting > index for waiting in self._waiting)

    def _keep(self, index: int, name: str, data: bytes) -> None:
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="endodav_")
        path = Path(self._scratch.name) / f"{index}.npy"
        try:
            np.save(path, self._decode(data, name))
            self._waiting[index] = path
        except Unreadable as error:
            self._waiting[index] = error
        except OSError as error:
            raise UserError(
                f"{self._name}: its members are out of order and {self._scratch.name} is full; unpack the archive, "
                "or set TMPDIR to a larger disk"
            ) from error

    def _take(self, index: int) -> np.ndarray:
        waiting = self._waiting.pop(index)
        if isinstance(waiting, Unreadable):
            raise waiting
        values = np.load(waiting)
        waiting.unlink()
        return values
