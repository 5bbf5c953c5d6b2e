"""Evidence that a file ends too early: its structure extends beyond its last byte.

Headers also give the number of frames or seconds, but recorders estimate these, write them beforehand or never
correct them; sizes and indices are what players rely on.
"""

import io
import struct
from collections.abc import Callable
from typing import BinaryIO

_TAIL = 1 << 18
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_UNCLOSED_RIFF = 0x7FFFFFFF  # placeholders begin here, and no writer makes chunks this long
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MXF_PARTITION = bytes.fromhex("060e2b34020501010d01020101")


def ends_early(file: BinaryIO, size: int, format_name: str) -> bool:
    """Returns whether the structure of a file extends beyond its end.

    Args:
      file: open for reading, at any position.
      size: its size in bytes.
      format_name: FFmpeg's name for the container.  Unknown containers never count as truncated.
    """
    for names, check in _CHECKS:
        if format_name in names:
            try:
                return check(file, size)
            except (struct.error, IndexError):
                return False  # not the structure it should have: left to the demuxer
    return False


def joined_at(file: BinaryIO, size: int, format_name: str) -> int | None:
    """Returns where the last of several recordings joined into one file begins; None for a single recording.

    Formats that are designed to be joined, such as transport streams, have no such position.
    """
    finders = {"matroska,webm": lambda: _walk_matroska(file, size)[1], "asf": lambda: _asf_headers(file, size)}
    find = finders.get(format_name, (lambda: _movies(file, size)) if format_name.startswith("mov,") else None)
    if find is None:
        return None
    try:
        places = find()
    except (struct.error, IndexError):
        return None
    return places[-1] if len(places) > 1 else None


def _avi(file: BinaryIO, size: int) -> bool:
    """A sequence of `RIFF` chunks; a recorder that never closed the file left their sizes at 0."""
    place = 0
    while place + 12 <= size:
        file.seek(place)
        name, length, kind = struct.unpack("<4sI4s", file.read(12))
        if name != b"RIFF" or kind[:3] != b"AVI" or not 4 <= length < _UNCLOSED_RIFF:
            return False
        place += 8 + length
    return place > size + 1


def _matroska(file: BinaryIO, size: int) -> bool:
    return _walk_matroska(file, size)[0]


def _walk_matroska(file: BinaryIO, size: int) -> tuple[bool, list[int]]:
    """Returns whether the file ends inside an element, and where its segments begin.

    Elements state their sizes; only a segment or cluster of a live recording has none and is walked through.
    """
    place = 0
    segments: list[int] = []
    while place < size:
        file.seek(place)
        head = file.read(12)
        id_length = 9 - head[0].bit_length()
        if id_length > 4:
            return False, segments
        if len(head) == id_length:
            return True, segments
        length = 9 - head[id_length].bit_length()
        if length > 8:
            return False, segments
        if len(head) < id_length + length:
            return True, segments
        name = int.from_bytes(head[:id_length], "big")
        everything = (1 << 7 * length) - 1
        content = int.from_bytes(head[id_length : id_length + length], "big") & everything
        if name == _SEGMENT:
            segments.append(place)
        place += id_length + length
        if content != everything:
            place += content
        elif name not in (_SEGMENT, _CLUSTER):
            return False, segments
    return place > size, segments


def _movies(file: BinaryIO, size: int) -> list[int]:
    """Returns the positions of the `ftyp` boxes, with which each recording in an MP4 or QuickTime file begins."""
    place = 0
    found: list[int] = []
    while place + 8 <= size:
        file.seek(place)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
        if name == b"ftyp":
            found.append(place)
        if length < 8:
            break
        place += length
    return found


def _asf_headers(file: BinaryIO, size: int) -> list[int]:
    """Returns the positions of the headers of ASF recordings, from the size that each recording states."""
    found: list[int] = []
    place = 0
    while place + 100 < size:
        file.seek(place)
        head = file.read(1 << 16)
        properties = head.find(_ASF_FILE)
        if not head.startswith(_ASF_HEADER) or properties < 0:
            break
        found.append(place)
        place += max(100, struct.unpack_from("<Q", head, properties + 40)[0])
    return found


def _asf(file: BinaryIO, size: int) -> bool:
    """The file size according to the header, unless it is marked as a broadcast, which does not know it."""
    file.seek(0)
    head = file.read(1 << 16)
    place = head.find(_ASF_FILE)
    if not head.startswith(_ASF_HEADER) or place < 0:
        return False
    announced = struct.unpack_from("<Q", head, place + 40)[0]
    broadcast = struct.unpack_from("<I", head, place + 88)[0] & 1
    return not broadcast and announced > size


def _transport_stream(file: BinaryIO, size: int) -> bool:
    """Packets of 188 bytes (192 with a leading time stamp, 204 with a trailing checksum), the last one incomplete."""
    tail = _tail(file, size)
    for length, lead, behind in ((188, 0, 0), (192, 4, 0), (204, 0, 0)):
        for missing in range(length):
            # The start of a packet that would end `missing` bytes after the end of the file.
            begin = len(tail) + missing - length
            marks = [begin + lead - k * length for k in range(0 if begin + lead < len(tail) else 1, 6)]
            if marks[-1] >= 0 and all(tail[mark] == 0x47 for mark in marks):
                return missing > behind
    return False


def _program_stream(file: BinaryIO, size: int) -> bool:
    """Packs and packets with their lengths, from the first pack in the file's last part."""
    tail = _tail(file, size)
    place = tail.find(b"\0\0\1\xba")
    while 0 <= place < len(tail):
        head = tail[place : place + 14]
        if head[:3] != b"\0\0\1"[: len(head[:3])]:
            return False
        if len(head) < 4:
            return True
        if head[3] == 0xB9:
            place += 4
        elif head[3] == 0xBA:
            if len(head) < 5:
                return True
            mpeg2 = head[4] >> 6 == 1
            if len(head) < (14 if mpeg2 else 12):
                return True
            place += 14 + (head[13] & 7) if mpeg2 else 12
        elif head[3] >= 0xBB:
            if len(head) < 6:
                return True
            place += 6 + int.from_bytes(head[4:6], "big")
        else:
            return False
    return place > len(tail)


def _ogg(file: BinaryIO, size: int) -> bool:
    tail = _tail(file, size)
    place = tail.rfind(b"OggS")
    if place < 0:
        return False
    head = tail[place : place + 27]
    if len(head) < 27:
        return True
    segments = tail[place + 27 : place + 27 + head[26]]
    return len(segments) < head[26] or place + 27 + head[26] + sum(segments) > len(tail)


def _mxf(file: BinaryIO, size: int) -> bool:
    """The first partition states where the last one begins, 0 in a file that was never closed."""
    file.seek(0)
    head = file.read(1 << 16)
    place = head.find(_MXF_PARTITION)
    if place < 0:
        return False
    value = place + 17 + (head[place + 16] & 0x7F if head[place + 16] & 0x80 else 0)
    return struct.unpack_from(">Q", head, value + 24)[0] >= size


def _gif(file: BinaryIO, size: int) -> bool:
    return not _tail(file, size).rstrip(b"\0").endswith(b";")


def _motion_jpeg(file: BinaryIO, size: int) -> bool:
    return not _tail(file, size).rstrip(b"\0").endswith(b"\xff\xd9")


def _tail(file: BinaryIO, size: int) -> bytes:
    file.seek(max(0, size - _TAIL), io.SEEK_SET)
    return file.read(_TAIL)


_CHECKS: tuple[tuple[tuple[str, ...], Callable[[BinaryIO, int], bool]], ...] = (
    (("avi",), _avi),
    (("matroska,webm",), _matroska),
    (("asf",), _asf),
    (("mpegts",), _transport_stream),
    (("mpeg",), _program_stream),
    (("ogg",), _ogg),
    (("mxf",), _mxf),
    (("gif",), _gif),
    (("mjpeg",), _motion_jpeg),
)
