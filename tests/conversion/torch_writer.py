"""Writes what `torch.save` writes, opcode by opcode: tests need no PyTorch and can write what it never would."""

import struct
import zipfile
from pathlib import Path

import numpy as np

STORAGE_NAMES = {
    "float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage", "bfloat16": "BFloat16Storage",
    "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage",
}  # fmt: skip


class Tensor:
    """A tensor as a file describes it: a storage, and how it lies in it (elements, not bytes)."""

    def __init__(self, storage: np.ndarray, offset: int, size: tuple, stride: tuple, key: str | None = None):
        self.storage, self.offset, self.size, self.stride, self.key = storage, offset, size, stride, key


def write_pth(path: Path, saved, prefix: str = "archive", byte_order: str = "little") -> Path:
    """Writes nested dicts of arrays, `Tensor`s, numbers and strings as a `.pth` file; returns its path."""
    storages: dict[str, bytes] = {}
    data = b"\x80\x02" + _pickled(saved, storages, byte_order) + b"."
    return write_archive(path, data, storages, prefix, byte_order)


def write_archive(
    path: Path, data: bytes, storages: dict[str, bytes], prefix: str = "archive", byte_order: str = "little"
) -> Path:
    """Writes the zip around a ready pickle."""
    path.unlink(missing_ok=True)  # a link is replaced, not what it points to
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr(f"{prefix}/data.pkl", data)
        file.writestr(f"{prefix}/byteorder", byte_order)
        for key, content in storages.items():
            file.writestr(f"{prefix}/data/{key}", content)
        file.writestr(f"{prefix}/version", "3\n")
    return path


def _pickled(value, storages: dict[str, bytes], byte_order: str) -> bytes:
    match value:
        case dict():
            items = (_pickled(part, storages, byte_order) for item in value.items() for part in item)
            return b"}(" + b"".join(items) + b"u"
        case str():
            return _string(value)
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return _integer(value)
        case np.ndarray() | np.generic():
            flat = np.ascontiguousarray(value).reshape(-1)
            strides = tuple(int(np.prod(value.shape[axis + 1 :])) for axis in range(value.ndim))
            return _tensor(Tensor(flat, 0, value.shape, strides), storages, byte_order)
        case Tensor():
            return _tensor(value, storages, byte_order)
    raise TypeError(type(value))


def _tensor(tensor: Tensor, storages: dict[str, bytes], byte_order: str) -> bytes:
    key = str(len(storages)) if tensor.key is None else tensor.key
    array = tensor.storage
    storages[key] = (array.byteswap() if byte_order == "big" else array).tobytes()
    persistent_id = (
        b"(" + _string("storage") + b"ctorch\n" + STORAGE_NAMES[array.dtype.name].encode() + b"\n"
        + _string(key) + _string("cpu") + _integer(array.size) + b"tQ"
    )  # fmt: skip
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + persistent_id + _integer(tensor.offset) + _integers(tensor.size)
        + _integers(tensor.stride) + b"\x89" + b"ccollections\nOrderedDict\n)R" + b"tR"
    )  # fmt: skip


def _string(text: str) -> bytes:
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _integer(number: int) -> bytes:
    content = number.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def _integers(numbers: tuple) -> bytes:
    return b"(" + b"".join(_integer(int(number)) for number in numbers) + b"t"
