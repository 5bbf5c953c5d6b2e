"""A folder of a data set, unpacked or still inside a zip file, behind one small interface."""

import contextlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol, runtime_checkable

from endodav_jax.errors import UserError


@runtime_checkable
class Bundle(Protocol):
    """Files by their path relative to a folder, with forward slashes."""

    where: str  # for messages

    def has(self, name: str) -> bool: ...

    def folder(self, name: str) -> Path | None:
        """A sub-folder on disk; None when it does not exist or lies in a zip file."""

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]: ...

    def local(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """The path of a file on disk, which is a temporary copy if it lies in a zip file (for readers that seek)."""


class FolderBundle:
    def __init__(self, root: Path):
        self.root = root
        self.where = str(root)

    def has(self, name: str) -> bool:
        return (self.root / name).is_file()

    def folder(self, name: str) -> Path | None:
        path = self.root / name
        return path if path.is_dir() else None

    def open(self, name: str) -> IO[bytes]:
        return open(self.root / name, "rb")

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        yield self.root / name


class ZipBundle:
    def __init__(self, path: Path, prefix: str, names: set[str]):
        self.path = path
        self.prefix = prefix
        self.names = names
        self.where = f"{path}/{prefix.rstrip('/')}"

    def has(self, name: str) -> bool:
        return self.prefix + name in self.names

    def folder(self, name: str) -> None:
        return None

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        with zipfile.ZipFile(self.path) as archive, archive.open(self.prefix + name) as file:
            yield file

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="endodav_") as scratch:
            copy = Path(scratch) / Path(name).name
            try:
                with self.open(name) as source, open(copy, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise UserError(f"{self.where}/{name}: the zip file is damaged ({error}); download it again") from error
            except OSError as error:
                raise UserError(
                    f"{self.where}/{name}: cannot be unpacked to {scratch} ({error.strerror}); "
                    "set TMPDIR to a larger disk"
                ) from error
            yield copy


def zip_names(path: Path) -> set[str]:
    """Returns the names of all files in a zip file.

    Raises:
      UserError: the file is truncated or not a zip file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name for name in archive.namelist() if not name.endswith("/")}
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: truncated or no zip file; download it again") from error
