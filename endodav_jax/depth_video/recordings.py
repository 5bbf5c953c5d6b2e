"""Finds the recordings named by a list of inputs, and the output folder for each."""

import dataclasses
import glob
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from endodav_jax.errors import UserError
from endodav_jax.fields import user_path
from endodav_jax.files import read_text, shortened
from endodav_jax.video.dicom_file import series_in
from endodav_jax.video.image_files import SUFFIXES, matching
from endodav_jax.video.image_order import natural_order
from endodav_jax.video.recognise import (
    Walk,
    contents,
    frames_of_folder,
    holds_only_results,
    is_companion,
    left_out_notes,
)

_SAMPLE = 64 * 1024  # bytes


@dataclasses.dataclass(frozen=True)
class Recording:
    """One input and its output folder.

    Attributes:
      input: as accepted by `open_source`.
      name: name of its output folder.
      fault: why it cannot be read, if already known; otherwise empty.
    """

    input: str
    name: str
    fault: str = ""


@dataclasses.dataclass(frozen=True)
class Recordings:
    """All recordings, in the order of the inputs, and one-line notes for the user about how they were chosen."""

    found: tuple[Recording, ...]
    notes: tuple[str, ...]

    def shard(self, text: str) -> "Recordings":
        """Returns every N-th recording starting with the I-th, for `I/N` with I from 1 to N; all if `text` is empty.

        Raises:
          UserError: `text` is anything else.
        """
        if not text:
            return self
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UserError(f"--shard {text}: is not I/N with I from 1 to N, such as 2/8")
        return dataclasses.replace(self, found=self.found[int(match[1]) - 1 :: int(match[2])])


def read_list(path: Path) -> list[str]:
    """Returns the inputs in a text file, one per line; lines that begin with # and empty lines are ignored.

    A leading `~` is the home folder; a path that does not exist relative to the current folder is looked up relative
    to the list.

    Raises:
      UserError: the file is unreadable or names no input.
    """
    text = read_text(path, "write one input per line", f"--from {path}")
    lines = [line.strip() for line in text.splitlines()]
    inputs = [user_path(line) for line in lines if line and not line.startswith("#")]
    if not inputs:
        raise UserError(f"--from {path}: names no input; write one per line")
    return [str(path.parent / i) if not _there(i) and _there(str(path.parent / i)) else i for i in inputs]


def find_recordings(inputs: Sequence[str]) -> Recordings:
    """Finds the recordings among inputs: videos, DICOM files, images, folders and patterns.

    A folder of images is one recording; any other folder stands for all recordings in it and its subfolders.  A pattern
    of images is one recording; any other pattern stands for all matching files.  Each recording gets its own output
    folder, named after it without the suffix; if two would collide, with the suffix, then with its folder's name.

    Raises:
      UserError: an input is an empty word.
    """
    if "" in inputs:
        raise UserError("INPUT: one is empty; is a variable of the shell not set? (. is the current folder)")
    entries: list[tuple[str, str]] = []
    notes: list[str] = []
    for given in inputs:
        entries += _of_input(given, notes)
    once = list(dict.fromkeys(entries))
    if len(once) < len(entries):
        twice = [name for (name, _), count in Counter(entries).items() if count > 1]
        notes.append(f"named more than once, used once: {', '.join(twice)}")
    names, renamed = _names([name for name, _ in once])
    notes += renamed
    found = (Recording(given, name, fault) for (given, fault), name in zip(once, names, strict=True))
    return Recordings(tuple(found), tuple(notes))


def _there(text: str) -> bool:
    return Path(text).exists() or (glob.has_magic(text) and bool(glob.glob(text)))


def _of_input(given: str, notes: list[str]) -> list[tuple[str, str]]:
    """The recordings of one input, each with any known fault."""
    path = Path(given)
    if path.is_dir():
        return _of_folder(path, given, notes, Walk(path)) or [(given, "")]  # opening it reports what is wrong
    if not path.exists() and glob.has_magic(given):
        matches = sorted(matching(given), key=natural_order)
        if matches and not all(match.suffix.lower() in SUFFIXES for match in matches):
            return [entry for match in matches for entry in _of_input(str(match), notes)]
    return [(given, "")]


def _of_folder(folder: Path, given: str, notes: list[str], walk: Walk) -> list[tuple[str, str]]:
    """The recordings in a folder and below it; none in folders that accompany frames or hold results."""
    found = frames_of_folder(folder)
    if found.images:
        return [(given, "")]
    folders = [path for path in contents(folder).folders if not is_companion(path)]
    results = [path.name for path in folders if holds_only_results(path)]
    inner_notes = [f"{given}: left out: {', '.join(results)} (results of an earlier run)"] if results else []
    inner = [
        entry
        for path in folders
        if path.name not in results and walk.enters(path)
        for entry in _of_folder(path, str(path), inner_notes, walk)
    ]
    damaged: dict[Path, str] = {}  # the other recordings are read all the same, as they are if pydicom is missing
    series = series_in(found.dicom, damaged)[0] if found.dicom else []
    if len(found.videos) + len(series) == 1 and not damaged:
        entries = [(given, "")]
    else:
        if found.videos or series or inner:
            notes += [f"{given}: {note}" for note in left_out_notes(found.left_out)]
        entries = [(str(video), "") for video in found.videos]
        for files in series:
            fault = f"one of {len(files)} files of a series; put them into a folder of their own"
            entries.append((str(files[0]), fault if len(files) > 1 else ""))
        entries += [(str(path), why) for path, why in damaged.items()]
    notes += inner_notes
    return entries + inner


def identity_of(given: str) -> dict[str, int | str]:
    """Returns what tells another recording of the same name: the size of all files of an input, and a digest.

    The digest is of the files' names and sizes and of their beginnings, middles and ends, since recordings of one
    device may have the same size to the byte, and to read all of a long one takes minutes.
    """
    path = Path(given)
    if path.is_dir():
        found = frames_of_folder(path)
        files = found.images + found.videos + found.dicom
    else:
        files = [path] if path.exists() else sorted(matching(given))
    digest, total = hashlib.sha256(), 0
    for file in filter(Path.is_file, files):  # a pipe would wait for a writer
        size = file.stat().st_size
        total += size
        digest.update(f"{file.name}\0{size}\0".encode(errors="surrogateescape"))
        with file.open("rb") as content:
            for start in sorted({0, max(0, size // 2 - _SAMPLE // 2), max(0, size - _SAMPLE)}):
                content.seek(start)
                digest.update(content.read(_SAMPLE))
    return {"bytes": total, "digest": digest.hexdigest()}


def _names(inputs: list[str]) -> tuple[list[str], list[str]]:
    """A folder name for each input, unique on any file system, and a line for each that differs from the plain name."""
    levels: list[Callable[[Path], str]] = [
        lambda path: path.name if path.is_dir() else path.stem,
        lambda path: path.name.replace(".", "_"),
        lambda path: f"{path.resolve().parent.name}_{path.name.replace('.', '_')}",
    ]
    paths = [_named_path(given) for given in inputs]
    plain = [levels[0](path) for path in paths]
    names = list(plain)
    for level in levels[1:]:
        counts = Counter(name.casefold() for name in names)
        names = [level(path) if counts[name.casefold()] > 1 else name for name, path in zip(names, paths, strict=True)]
    taken: set[str] = set()
    for place, name in enumerate(names):
        number, unique = 1, name
        while unique.casefold() in taken:
            number += 1
            unique = f"{name}_{number}"
        taken.add(unique.casefold())
        names[place] = shortened(unique)
    notes = [
        f"{given}: its outputs go to {name}, since "
        + ("its name is too long" if shortened(wanted) != wanted else f"another input is also called {wanted}")
        for given, name, wanted in zip(inputs, names, plain, strict=True)
        if name != wanted
    ]
    return names, notes


def _named_path(given: str) -> Path:
    """The path that an input is named after: for a pattern, the nearest parent folder without wildcards."""
    path = Path(given)
    if not path.exists() and glob.has_magic(given):
        path = next((parent for parent in path.parents if not glob.has_magic(str(parent))), Path("images"))
    return path if path.name not in ("", "..") else path.resolve()
