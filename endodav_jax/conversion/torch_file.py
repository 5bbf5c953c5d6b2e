"""Reads files written by `torch.save` without PyTorch: a zip of raw storages and a pickle that describes the tensors.

The file is memory-mapped and tensors are read-only views of it, so a checkpoint is read once, and only the parts that
are used.
"""

import mmap
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from endodav_jax.conversion import torch_pickle
from endodav_jax.errors import UserError

_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # pickle of 0x1950a86a20f9469cfc6c
_ZIP_MAGIC = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # magic, ..., lengths of name and extra field
_RESAVE = "load it with PyTorch and write it again: torch.save(model.state_dict(), 'new.pth')"
_ENCRYPTED = 0x1


def read_torch_file(path: Path | str):
    """Returns the object saved in a `.pth` or `.pt` file.

    Tensors become read-only NumPy arrays, views of the mapped file (bfloat16 through ml_dtypes); containers become
    dicts, lists, tuples and sets; numbers and strings stay.

    Raises:
      UserError: not a PyTorch file, truncated, damaged, of the formats before PyTorch 1.6, or one whose pickle holds
        anything but tensors and containers.  Nothing in the file is ever run.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            head = file.read(512)
            if not head:
                raise UserError(f"{path}: is empty; download or copy it again")
            _refuse_other_formats(path, head)
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        archive = _Archive(path, mapped)
        return torch_pickle.load(archive.entry("data.pkl").tobytes(), archive.storage)
    except torch_pickle.Refused as error:
        raise UserError(f"{path}: refused, nothing in it was run: {error}; {_RESAVE}") from error


def _refuse_other_formats(path: Path, head: bytes) -> None:
    if head.startswith(_LEGACY_MAGIC) or head[257:262] == b"ustar":
        raise UserError(f"{path}: is in PyTorch's format from before version 1.6; {_RESAVE}")
    if head.startswith(b"version https://git-lfs"):
        raise UserError(f"{path}: is a Git LFS pointer, not the weights; fetch them with `git lfs pull`")
    if head.lstrip()[:1] == b"<":
        raise UserError(f"{path}: is a web page, not weights; download the file itself")
    if head[:1] == b"\x80":
        raise UserError(f"{path}: is a bare pickle, which could run code; {_RESAVE}")
    if not head.startswith(_ZIP_MAGIC):
        raise UserError(f"{path}: is not a PyTorch file (.pth or .pt)")


class _Archive:
    """The entries of the zip as views of the mapped file, each checked against its checksum when first used."""

    def __init__(self, path: Path, mapped: mmap.mmap):
        self._path = path
        self._bytes = np.frombuffer(mapped, np.uint8)
        try:
            with zipfile.ZipFile(path) as file:
                entries = file.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
            raise UserError(f"{path}: is truncated or damaged ({error}); download or copy it again") from error
        names = [entry.filename for entry in entries]
        if len(set(names)) != len(names):
            raise UserError(f"{path}: refused: an entry occurs twice; {_RESAVE}")
        pickles = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise UserError(f"{path}: is a zip without one data.pkl, so not a PyTorch file; {_RESAVE}")
        self._prefix = pickles[0].removesuffix("data.pkl")
        if f"{self._prefix}constants.pkl" in names:
            raise UserError(f"{path}: is a TorchScript program, which is code; {_RESAVE}")
        self._entries = {entry.filename: entry for entry in entries}
        # torch.serialization.set_crc32_options(False) writes zeros.
        self._has_checksums = any(entry.CRC for entry in entries)
        self._swapped = self._byte_order() == b"big"
        self._storages: dict[str, np.ndarray] = {}

    def entry(self, name: str) -> np.ndarray:
        """Returns the bytes [size] of an entry.

        Raises:
          UserError: it is missing, compressed, encrypted, outside the file or damaged.
        """
        info = self._entries.get(self._prefix + name)
        if info is None:
            raise UserError(f"{self._path}: entry {name} is missing; download or copy the file again")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
            raise UserError(f"{self._path}: refused: entry {name} is compressed, as PyTorch never writes; {_RESAVE}")
        damaged = UserError(f"{self._path}: entry {name} is damaged; download or copy the file again")
        header = self._bytes[info.header_offset : info.header_offset + _LOCAL_HEADER.size].tobytes()
        if len(header) < _LOCAL_HEADER.size:
            raise damaged
        magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
        view = self._bytes[start : start + info.file_size]
        if magic != _ZIP_MAGIC or len(view) != info.file_size:
            raise damaged
        if self._has_checksums and zlib.crc32(view.data) != info.CRC:
            raise damaged
        return view

    def storage(self, dtype: np.dtype | None, key: str, count: int) -> np.ndarray:
        """Returns the storage `data/<key>` as [count] elements of `dtype` (None: bytes).

        Raises:
          UserError: the entry is not exactly that long.
        """
        if key not in self._storages:
            self._storages[key] = self.entry(f"data/{key}")
        view = self._storages[key]
        dtype = np.dtype(np.uint8) if dtype is None else dtype
        if len(view) != count * dtype.itemsize:
            raise UserError(
                f"{self._path}: entry data/{key} has {len(view)} bytes where {count} x {dtype.itemsize} are announced; "
                "download or copy the file again"
            )
        view = view.view(dtype)
        return view.byteswap() if self._swapped and dtype.itemsize > 1 else view

    def _byte_order(self) -> bytes:
        name = f"{self._prefix}byteorder"  # absent before PyTorch 2.1, when files were little-endian
        return self.entry("byteorder").tobytes() if name in self._entries else b"little"
