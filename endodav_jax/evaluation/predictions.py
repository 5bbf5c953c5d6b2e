"""Depth predicted by another method, read from a folder with one frame in memory at a time."""

import contextlib
import json
import math
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.evaluation.config import Kind
from endodav_jax.files import DAMAGED_NPZ, read_text
from endodav_jax.video.image_order import natural_order

_KEYS = {"depth": ("depths", "depth"), "disparity": ("disparities", "disparity")}  # in an npz; the first one found
_FRAME_SUFFIXES = (".npy", ".png", ".exr")
_FILE_ENDINGS = (".npz", ".npy", "_depths.npz")  # the last is written by `endodav infer`
_INNER_FOLDERS = ("", "depth", "depths", "disparity", "disparities")
_SCALE_FILE = "scale.json"  # beside 16-bit PNGs of `endodav infer`
_SEARCHED_LEVELS = 3  # of folders, if no name matches exactly
_PART = 2**22  # bytes that are unpacked at a time


class FrameFiles(Sequence[np.ndarray]):
    """The frames of a folder, float32 [H,W], read lazily.

    Attributes:
      paths: of the frames, in natural order.
    """

    def __init__(self, paths: Sequence[Path]):
        self.paths = list(paths)
        self._scale = _scale_of(self.paths[0].parent / _SCALE_FILE)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number):
        """Reads frame `number`.

        Raises:
          UserError: a file cannot be read or is not a depth map.
        """
        path = self.paths[number]
        try:
            values = self._read(path)
        except (OSError, ValueError, SyntaxError, RuntimeError, KeyError, EOFError) as error:
            raise UserError(f"{path}: cannot be read as {path.suffix[1:]}; write it again") from error
        return _as_map(values, path)

    def _read(self, path: Path) -> np.ndarray:
        if path.suffix.lower() == ".npy":
            return np.load(path)
        if path.suffix.lower() == ".exr":
            return _read_exr(path)
        with Image.open(path) as image:
            if not image.mode.startswith("I"):
                raise UserError(f"{path}: not a 16-bit grey PNG; save depth with 16 bits, not as a picture")
            return np.asarray(image, np.float32) / np.float32(self._scale)


def _scale_of(sidecar: Path) -> float:
    """The number by which PNGs must be divided; 1 if no file says so."""
    if not sidecar.is_file():
        return 1.0
    cure = "give a positive number under `scale` (a value is depth times scale), or remove the file"
    text = read_text(sidecar, cure)
    try:
        found = json.loads(text)
        scale = math.nan if isinstance(found["scale"], bool) else float(found["scale"])
    except KeyError as error:
        raise UserError(f"{sidecar}: has no `scale`; {cure}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{sidecar}: no JSON with a number under `scale`; {cure}") from error
    if not (math.isfinite(scale) and scale > 0):
        raise UserError(f"{sidecar}: `scale` is {found['scale']}; {cure}")
    return scale


@contextlib.contextmanager
def read_predictions(
    folder: Path, sequence: str, kind: Kind, alone: bool = True
) -> Iterator[Sequence[np.ndarray] | np.ndarray]:
    """Yields the maps [H,W] of a sequence by number, not all in memory at once.

    Args:
      folder: contains for each sequence `NAME.npz` (keys `depths` or `depth`; `disparities` or `disparity`) or
        `NAME.npy`, both [N,H,W], or a folder `NAME/` (or `NAME/depth/`) of npy, 16-bit PNG or EXR files, one per frame.
        `/` in names may be written as `_`; if no name matches, case and punctuation are ignored.  For a
        sequence that is alone, it may also be the file or the folder of frames itself.
      sequence: its name.
      kind: what the maps are.
      alone: whether there is no other sequence.

    Raises:
      UserError: there are no predictions for the sequence, or they cannot be read.
    """
    place = find_predictions(folder, sequence, alone)
    if place.is_dir():
        yield FrameFiles(frames_in(place))
    elif place.suffix.lower() == ".npz":
        with _unpacked(place, kind) as maps:
            yield maps
    else:
        yield _mapped(place, place)


def find_predictions(folder: Path, sequence: str, alone: bool = True) -> Path:
    """Returns the file or the folder of frames for a sequence; see `read_predictions`.

    Raises:
      UserError: there is none, or several match equally well.
    """
    if not folder.exists():
        raise UserError(f"{folder}: no such folder of predictions")
    named = _named(folder, sequence)
    if named is not None:
        return named
    if folder.is_file() or frames_in(folder):
        if alone:
            return folder
        raise _of_one_sequence(folder)
    alike = [place for place in _candidates(folder) if _letters(_stem(place, folder)) == _letters(sequence)]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise UserError(f"{folder}: {' and '.join(sorted(place.name for place in alike))} both match; keep one")
    raise UserError(
        f"{folder}: no prediction; looked for {sequence}.npz, {sequence}.npy and {sequence}/ with npy, 16-bit png or "
        "exr frames (/ may be _)"
    )


def check_predictions(folder: Path, sequences: Sequence[str]) -> None:
    """Checks that a folder exists and is not the prediction of one sequence where there are several.

    Raises:
      UserError: it is not so.
    """
    if not folder.exists():
        raise UserError(f"{folder}: no such folder of predictions")
    several = len(sequences) > 1 and not any(_named(folder, sequence) for sequence in sequences)
    if several and (folder.is_file() or frames_in(folder)):
        raise _of_one_sequence(folder)


def _of_one_sequence(folder: Path) -> UserError:
    return UserError(
        f"{folder}: is the prediction of one sequence, and the data set has several; give a folder with NAME.npz, "
        "NAME.npy or NAME/ for each of them"
    )


def _named(folder: Path, sequence: str) -> Path | None:
    """The file or the folder of frames that has a sequence's name, its `/` written in any way."""
    for name in dict.fromkeys([sequence, *(sequence.replace("/", sign) for sign in ("_", "__", "-"))]):
        for place in (*(folder / f"{name}{ending}" for ending in _FILE_ENDINGS), folder / name):
            if place.is_file() or (place.is_dir() and frames_in(place)):
                return place
    return None


def frames_in(folder: Path) -> list[Path]:
    """Returns the frames in a folder, or in its `depth/`, in natural order; of one kind, npy before png and exr.

    A folder of sequences (`a.npy`, `b.npy`, one array [N,H,W] each) contains no frames; the first file that can be
    read tells.
    """
    for inner in _INNER_FOLDERS:
        place = folder / inner
        if not place.is_dir():
            continue
        for suffix in _FRAME_SUFFIXES:
            found = sorted(
                (path for path in place.iterdir() if path.suffix.lower() == suffix and path.name[0] != "."),
                key=natural_order,
            )
            stacks = (stack for stack in map(_is_stack, found) if stack is not None) if suffix == ".npy" else iter(())
            if found and not next(stacks, False):
                return found
    return []


def _is_stack(path: Path) -> bool | None:
    """Whether an npy file contains several maps, judging by its header only; None if it cannot be read."""
    try:
        shape = np.load(path, mmap_mode="r").shape
    except (OSError, ValueError, EOFError):
        return None
    return sum(size > 1 for size in shape) > 2


def _candidates(folder: Path) -> Iterator[Path]:
    """Yields every file or folder of frames, up to a few levels down, that could be a sequence."""
    for level in range(1, _SEARCHED_LEVELS + 1):
        for place in folder.glob("/".join("*" * level)):
            if (place.is_file() and place.suffix.lower() in (".npz", ".npy")) or (
                place.is_dir() and place.name not in _INNER_FOLDERS and frames_in(place)
            ):
                yield place


def _stem(place: Path, folder: Path) -> str:
    name = place.relative_to(folder).as_posix()
    for ending in (*_FILE_ENDINGS[::-1], ""):
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


@contextlib.contextmanager
def _unpacked(path: Path, kind: Kind) -> Iterator[np.ndarray]:
    """Yields the maps of an npz from a temporary file, since members of an archive cannot be memory-mapped."""
    with tempfile.TemporaryDirectory() as folder:
        extracted = Path(folder) / "maps.npy"
        try:
            with open(extracted, "wb") as file:
                file.writelines(_parts_of(path, kind))
        except OSError as error:  # `_parts_of` raises its own `UserError`
            raise UserError(
                f"{path}: cannot be unpacked into {folder} ({error.strerror}); set TMPDIR to another folder"
            ) from error
        maps = _mapped(extracted, path)
        yield maps
        del maps


def _parts_of(path: Path, kind: Kind) -> Iterator[bytes]:
    """Yields an npz file's maps, as an npy file in parts."""
    try:
        with zipfile.ZipFile(path) as archive:
            keys = [name.removesuffix(".npy") for name in archive.namelist()]
            chosen = next((key for key in _KEYS[kind] if key in keys), None)
            if chosen is None:
                others = [other for other in _KEYS if other != kind and any(key in keys for key in _KEYS[other])]
                cure = f"use --kind {others[0]}" if others else "rename the array"
                raise UserError(
                    f"{path}: contains {', '.join(keys) or 'nothing'}, expected {' or '.join(_KEYS[kind])}; {cure}"
                )
            with archive.open(f"{chosen}.npy") as member:
                while part := member.read(_PART):
                    yield part
    except DAMAGED_NPZ as error:
        raise UserError(f"{path}: cannot be read as npz; write it again") from error


def _mapped(path: Path, name: Path) -> np.ndarray:
    """Returns an npy file's array [N,H,W] (or [H,W], [N,H,W,1], [N,1,H,W]), mapped into memory."""
    try:
        maps = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{name}: cannot be read as npy; write it again") from error
    if maps.ndim == 4 and 1 in (maps.shape[-1], maps.shape[1]):
        maps = maps[..., 0] if maps.shape[-1] == 1 else maps[:, 0]
    if maps.ndim == 2:
        maps = maps[None]
    if maps.ndim != 3 or maps.dtype.kind not in "fui":
        raise UserError(f"{name}: is {maps.dtype} {maps.shape}; expected one map per frame, numbers [N,H,W]")
    return maps


def _as_map(values: np.ndarray, path: Path) -> np.ndarray:
    if values.dtype.kind not in "fui" or (values.ndim != 2 and values.squeeze().ndim != 2):
        raise UserError(f"{path}: is {values.dtype} {values.shape}; expected a map of numbers [H,W]")
    return (values if values.ndim == 2 else values.squeeze()).astype(np.float32)


def _read_exr(path: Path) -> np.ndarray:
    try:
        import OpenEXR
    except ImportError as error:
        raise UserError(f"{path}: needs the package OpenEXR; pip install 'endodav-jax[exr]'") from error
    with OpenEXR.File(str(path)) as file:
        channels = file.channels()
        name = next((name for name in ("Z", "Y", "depth") if name in channels), next(iter(channels)))
        values = np.array(channels[name].pixels)
    return values[..., 0] if values.ndim == 3 else values
