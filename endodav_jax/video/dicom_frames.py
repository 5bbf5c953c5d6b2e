"""The frames in a DICOM file: how many there are, whatever its header says, and their decoded values."""

import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

UNDEFINED_LENGTH = 0xFFFFFFFF  # of pixels in pieces
_ITEM = b"\xfe\xff\x00\xe0"
# How JPEG (also lossless, and JPEG-LS) and JPEG 2000 begin.  A frame may be in several pieces: the first begins so.
_BEGINNINGS = (b"\xff\xd8\xff", b"\xff\x4f\xff")
_RLE = "1.2.840.10008.1.2.5"  # a frame is one piece
_SUBSAMPLED = "YBR_FULL_422"
# What `stored_frames` needs to know beside the pixels.
ATTRIBUTES = ("BitsAllocated", "Columns", "ExtendedOffsetTable", "NumberOfFrames", "PhotometricInterpretation", "Rows",
              "SamplesPerPixel")  # fmt: skip


def stored_frames(file: BinaryIO, values, announced: int) -> int:
    """Returns how many whole frames a file holds, or what its header announces if that is more or the pixels do not
    tell: reading will find out.

    Args:
      file: at the pixels, after everything else was read.
      values: the attributes in `ATTRIBUTES`, and the file's meta information.
      announced: the number in the header, 1 if it gives none.
    """
    syntax = values.file_meta.TransferSyntaxUID
    if syntax.is_deflated:
        import pydicom

        file.seek(0)
        pixels = pydicom.dcmread(file, force=True, specific_tags=["PixelData"]).get("PixelData", b"")
        return max(announced, _frames_of_length(len(pixels), values, announced))
    order: Literal["little", "big"] = "little" if syntax.is_little_endian else "big"
    tag = [int.from_bytes(file.read(2), order) for _ in range(2)]
    if tag != [0x7FE0, 0x0010]:
        return announced
    if not syntax.is_implicit_VR:
        file.seek(4, io.SEEK_CUR)
    length = int.from_bytes(file.read(4), order)
    if length == UNDEFINED_LENGTH:
        return max(announced, _frames_of_pieces(file, values, syntax))
    place = file.tell()
    length = min(length, file.seek(0, io.SEEK_END) - place)
    return max(announced, _frames_of_length(length, values, announced))


def decoded_frames(path: Path, frames: int, described) -> Iterator[np.ndarray]:
    """Yields the frames of a file, integers [H, W] or [H, W, 3].

    Args:
      frames: how many there are.
      described: an empty data set, which takes the pixels' attributes (group 0028).
    """
    from pydicom import dcmread
    from pydicom.pixels import iter_pixels

    tags = ["BitsAllocated", "BitsStored", "HighBit", "PhotometricInterpretation"]
    values = dcmread(path, stop_before_pixels=True, force=True, specific_tags=tags)
    syntax = values.file_meta.TransferSyntaxUID
    shift = _lowest_bit(values) if not syntax.is_encapsulated else 0
    how: dict[str, Any] = {"number_of_frames": frames} | ({"correct_unused_bits": False} if shift else {})
    if syntax.is_deflated:  # pydicom finds frames in a file only if it is not compressed as a whole
        whole = dcmread(path, force=True)
        described.update(whole.group_dataset(0x0028))
        decode = functools.partial(iter_pixels, whole, **how)
    else:
        decode = functools.partial(iter_pixels, path, ds_out=described, **how)
    if values.get("PhotometricInterpretation") == _SUBSAMPLED and not syntax.is_encapsulated:
        # After the first frame pydicom's iterator takes the others for RGB, which are longer.
        for index in range(frames):
            yield from decode(indices=[index])
    elif shift:
        unused = int(values.BitsAllocated) - int(values.BitsStored)
        for frame in decode():
            yield frame << (unused - shift) >> unused
    else:
        yield from decode()


def _lowest_bit(values) -> int:
    """Returns how many bits lie below each value: none today, but older files have values at the upper end."""
    allocated, stored, high = (values.get(keyword) for keyword in ("BitsAllocated", "BitsStored", "HighBit"))
    if None in (allocated, stored, high) or not 0 < stored <= high + 1 <= allocated:
        return 0
    return high + 1 - stored


def _frames_of_length(length: int, values, announced: int) -> int:
    """Returns how many frames are in so many bytes of pixels without compression, 0 if that is not known."""
    sides = [int(values.get(keyword) or 0) for keyword in ("Rows", "Columns", "BitsAllocated")]
    bits = int(np.prod(sides, dtype=np.int64)) * int(values.get("SamplesPerPixel") or 1)
    if bits <= 8:  # an odd length is padded by a byte
        return 0
    if values.get("PhotometricInterpretation") == _SUBSAMPLED:
        if length // 2 == (bits * announced + 7) // 8 // 2:
            return 0  # the colours are not subsampled after all, as is common
        bits = bits * 2 // 3
    return length * 8 // bits


def _frames_of_pieces(file: BinaryIO, values, syntax) -> int:
    """Returns how many compressed frames there are, by their table or else by how they begin; 0 if neither tells."""
    table, *frames = items_of(file) or [(0, 0)]
    offsets = len(values.get("ExtendedOffsetTable") or b"") // 8 or table[1] // 4
    if offsets > 1:
        return offsets
    if syntax == _RLE:
        return len(frames)
    beginnings = 0
    for place, length in frames:
        file.seek(place)
        beginnings += file.read(min(3, length)) in _BEGINNINGS
    return beginnings


def items_of(file: BinaryIO) -> list[tuple[int, int]]:
    """Returns (offset, length) of each item of a sequence at which a file is; of pixels, the first is their table."""
    items = []
    while (head := file.read(8))[:4] == _ITEM and len(head) == 8:
        length = int.from_bytes(head[4:], "little")
        items.append((file.tell(), length))
        file.seek(length, io.SEEK_CUR)
    return items
