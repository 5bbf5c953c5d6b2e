"""Reads lists of sequences: the published ones of this folder, or a user's own file.

The files carry one entry a line and often end without a newline; some use tabs, some spaces, some CRLF.
"""

from pathlib import Path

from endodav_jax.errors import UserError
from endodav_jax.files import read_text

FOLDER = Path(__file__).parent


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


def _fields(path: Path) -> list[list[str]]:
    """Returns the white-space separated fields of every line that has any."""
    if not path.is_file():
        raise UserError(f"{path}: no such list of sequences")
    text = read_text(path, "write one sequence per line")
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if not rows:
        raise UserError(f"{path}: the list is empty")
    return rows
