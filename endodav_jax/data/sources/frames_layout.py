"""Finds a user's own sequences below a path; every candidate is either taken or named as left out."""

import dataclasses
from pathlib import Path

from endodav_jax.errors import UserError
from endodav_jax.video.dicom_file import DicomImages, series_in
from endodav_jax.video.frames import FrameSource, Reading
from endodav_jax.video.image_files import FRAME_FOLDERS, SUFFIXES, frames_in
from endodav_jax.video.image_order import frame_numbers
from endodav_jax.video.reader import open_source
from endodav_jax.video.recognise import (
    Walk,
    contents,
    holds_only_results,
    holds_recordings,
    images_inside,
    is_companion,
    left_out_notes,
)

# Files next to recordings that can belong to only one of them; see `data.sources.frames`.
_OF_ONE = ("depth", "poses.txt", "geometry.npz", "mask.png", "sparse", "images.txt")


@dataclasses.dataclass(frozen=True)
class SequencePlace:
    """Where a sequence lies.

    Attributes:
      video: the video, the file of many images, or the first file of a DICOM series; None for one image per file.
      images: the image files, by their number.
      beside: folder of its companions (camera, depth, ...); None if it has none.
      series: all files of a DICOM series, in order.
      left_out: lines that name files there that are not read.
    """

    video: Path | None
    images: dict[int, Path]
    beside: Path | None
    series: tuple[Path, ...] = ()
    left_out: tuple[str, ...] = ()

    def open(self, reading: Reading) -> FrameSource:
        """Opens a sequence that is not a folder of images."""
        assert self.video is not None
        if len(self.series) > 1:
            return DicomImages(self.series, str(self.video.parent), self.video.parent.name)
        return open_source(str(self.video), reading)


def find_sequences(root: Path) -> dict[str, SequencePlace]:
    """Returns the sequences below a path by name; each is named after its folder or file and the folders above it.

    Raises:
      UserError: there are none.
    """
    if root.is_file():
        if root.suffix.lower() in SUFFIXES and frames_in(root) == 1:
            raise UserError(f"{root}: one image is no sequence; give its folder or a video")
        return {root.stem: SequencePlace(root, {}, None)}
    if not root.is_dir():
        raise UserError(f"{root}: no such video or folder")
    found: dict[str, SequencePlace] = {}
    left_out = _collect(root, "", found, Walk(root))
    if not found:
        there = "".join(f"; {line}" for line in left_out)
        raise UserError(f"{root}: holds no images, no videos and no folders of them{there}")
    if left_out:
        first = next(iter(found))
        found[first] = dataclasses.replace(found[first], left_out=(*left_out, *found[first].left_out))
    return found


def _collect(folder: Path, name: str, found: dict[str, SequencePlace], walk: Walk) -> list[str]:
    """Adds the sequences of a folder to `found`, and returns lines on whatever belongs to none of them."""
    own = contents(folder)
    inside = images_inside(own)
    inner = None if inside is None else inside[1]
    images = own.images if inner is None else inner.images
    left_out = own.left_out | ({} if inner is None else inner.left_out)
    if inner is not None:
        left_out |= dict.fromkeys(own.images, "beside the folder of frames")
    single = [path for path in images if frames_in(path) == 1]
    if single:
        left_out |= dict.fromkeys(own.videos + own.dicom, "its folder is read as images")
        left_out |= dict.fromkeys((path for path in images if path not in single), "several images in a file")
        used = () if inner is None else FRAME_FOLDERS
        others = (path for path in own.folders if path.name.lower() not in used)
        left_out |= {path: "its folder is read as images" for path in others if holds_recordings(path)}
        numbers = frame_numbers(single) or range(len(single))
        place = SequencePlace(None, dict(zip(numbers, single, strict=True)), folder)
        _add(found, name or folder.resolve().name, place, left_out)
        return []
    series, empty = series_in(own.dicom) if own.dicom else ([], [])
    left_out |= dict.fromkeys(empty, "no pictures")
    recordings = [(path,) for path in own.videos + images] + [tuple(files) for files in series]
    before = len(found)
    lines = []
    for path in own.folders:
        if is_companion(path) or (inner is not None and path.name.lower() in FRAME_FOLDERS) or not walk.enters(path):
            continue
        if holds_only_results(path):
            left_out[path] = "results of an earlier run"
            continue
        lines += _collect(path, f"{name}/{path.name}" if name else path.name, found, walk)
    if len(recordings) == 1 and len(found) == before:
        (files,) = recordings
        stem = folder.resolve().name if len(files) > 1 else files[0].stem
        _add(found, name or stem, SequencePlace(files[0], {}, folder, files), left_out)
        return lines
    if recordings:
        of_which = "belongs to one of several recordings; give each a folder of its own"
        left_out |= {folder / other: of_which for other in _OF_ONE if (folder / other).exists()}
    names = _names([files[0] if len(files) == 1 else None for files in recordings])
    for own_name, files in zip(names, recordings, strict=True):
        place = SequencePlace(files[0], {}, None, files)
        _add(found, f"{name}/{own_name}" if name else own_name, place, {})
    return lines + left_out_notes(left_out)


def _names(files: list[Path | None]) -> list[str]:
    """Returns a name for each recording of a folder: its stem, its whole name where stems repeat, or a number."""
    stems = [path.stem for path in files if path is not None]
    names = []
    for number, path in enumerate(files, start=1):
        if path is None:
            names.append(f"series{number}")
        else:
            names.append(path.stem if stems.count(path.stem) == 1 else path.name)
    return names


def _add(found: dict[str, SequencePlace], name: str, place: SequencePlace, left_out: dict[Path, str]) -> None:
    unique, number = name, 1
    while unique in found:
        number += 1
        unique = f"{name}-{number}"
    found[unique] = dataclasses.replace(place, left_out=tuple(left_out_notes(left_out)))


def file_beside(place: SequencePlace, names: tuple[str, ...]) -> Path | None:
    """Returns the first of several possible companions that exists next to a sequence."""
    if place.beside is None:
        return None
    return next((path for name in names if (path := place.beside / name).exists()), None)
