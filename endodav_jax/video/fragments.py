"""MP4 files in fragments, which are written one after the other and of which each can be shown."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def keep_whole_fragments(file: Path) -> int:
    """Removes what follows the last whole fragment, such as one that a full disk cut short; returns the frames left."""
    with file.open("r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        frames, whole, waiting = 0, 0, 0
        for name, start, end in _boxes(opened, 0, size):
            if end > size:
                break
            if name == b"moof":
                waiting = _samples(opened, start, end)
            elif name == b"mdat":
                frames, waiting = frames + waiting, 0
            if name != b"moof":
                whole = end
        opened.truncate(whole)
    return frames


def _samples(file: BinaryIO, start: int, end: int) -> int:
    """Counts the frames that a `moof` announces, in the runs of its tracks."""
    count = 0
    for name, inner, inner_end in _boxes(file, start, end):
        if name == b"traf":
            count += _samples(file, inner, inner_end)
        elif name == b"trun":
            file.seek(inner + 4)  # version and flags
            count += struct.unpack(">I", file.read(4))[0]
    return count


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields the name of each box, where its content starts, and where it should end, maybe behind `end`."""
    while start + 8 <= end:
        file.seek(start)
        length, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            if start + 16 > end:
                return
            (length,) = struct.unpack(">Q", file.read(8))
            head = 16
        if length < head:
            return
        yield name, start + head, start + length
        start += length
