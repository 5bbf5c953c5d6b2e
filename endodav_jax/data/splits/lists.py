"""Reads lists of sequences and of frames: the published ones of this folder, or a user's own file.

The files carry one entry a line and often end without a newline; some use tabs, some spaces, some CRLF.
"""

import dataclasses
from pathlib import Path

from endodav_jax.errors import UserError
from endodav_jax.files import read_text

FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class FrameEntry:
    """One line of a frame list: `dataset3/keyframe4<TAB>390<TAB>l`.

    Attributes:
      sequence: the sequence as the list writes it.
      number: the frame's number as the list writes it (its image's file name).
      side: `l` or `r`.
    """

    sequence: str
    number: int
    side: str


def published_list(dataset: str, name: str) -> list[str]:
    """Returns the sequences of a published list in their order: `published_list("scared_video", "val_files")`."""
    return read_sequence_list(FOLDER / dataset / f"{name}.txt")


def published_counts(dataset: str, name: str = "all_frames") -> dict[str, int]:
    """Returns the published number of frames of each sequence of a data set, in the published order."""
    path = FOLDER / dataset / f"{name}.txt"
    return {line[0]: int(line[1]) for line in _fields(path)}


def read_sequence_list(path: Path | str) -> list[str]:
    """Returns the distinct first fields of a list's lines, in the order of their first appearance.

    Raises:
      UserError: the file is missing or lists nothing.
    """
    return list(dict.fromkeys(line[0].strip("/") for line in _fields(Path(path))))


def read_frame_list(path: Path | str) -> list[FrameEntry]:
    """Returns the entries of a frame list (`SEQUENCE NUMBER [l|r]`) in their order.

    Raises:
      UserError: the file is missing, lists nothing, or a line has no frame number.
    """
    entries = []
    for row, fields in enumerate(_fields(Path(path)), start=1):
        if len(fields) not in (2, 3) or not fields[1].isdigit():
            raise UserError(f"{path}: entry {row} is {' '.join(fields)!r}; wanted SEQUENCE NUMBER [l|r]")
        entries.append(FrameEntry(fields[0].strip("/"), int(fields[1]), fields[2] if len(fields) == 3 else "l"))
    return entries


def _fields(path: Path) -> list[list[str]]:
    """Returns the white-space separated fields of every line that has any."""
    if not path.is_file():
        raise UserError(f"{path}: no such list of sequences or frames")
    text = read_text(path, "write one sequence or frame per line")
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if not rows:
        raise UserError(f"{path}: the list is empty")
    return rows
