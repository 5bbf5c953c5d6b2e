"""Masks of single frames: what moves over the scene and is no part of it, such as instruments, smoke and captions.

Beside a video or a folder of images lies a folder or a video of masks; where a mask is 0, the frame is left out.  Which
mask belongs to which frame, names say (`000012.png` and `000012.jpg`), or else the numbers in them, or else their order
where there are as many masks as frames.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.video.image_files import FRAME_FOLDERS, images_in, read_rgb
from endodav_jax.video.video_file import VideoFile

NAME = "masks"
_VIDEO_LEVEL = 127  # a lossy video blurs 0 and 255; brighter than half counts
_VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv", ".ts", ".mts", ".m2ts")

MaskOf = Callable[[int], np.ndarray | None]  # bool [H, W] of a frame by its number; None: all of it counts


def is_named_masks(path: Path) -> bool:
    """Whether a file or folder holds masks by its name: `masks`, `NAME_masks`."""
    stem = path.stem if path.suffix.lower() in _VIDEO_SUFFIXES else path.name
    return stem == NAME or stem.endswith(f"_{NAME}")


def masks_beside(source: Path) -> Path | None:
    """Returns the masks that lie beside a video or a folder of images, or None.

    For `clip.mp4` these are `clip_masks/`, `clip_masks.mp4` (or of another suffix), `masks/clip/`, `masks/clip.mp4`,
    and `masks/` or `masks.mp4` where the folder has no other video; for a folder `masks/` or `masks.mp4` in it, or
    beside it where it is called `frames` or `images`, and `FOLDER_masks` beside it.
    """
    if source.is_dir():
        places = [source / NAME]
        if source.name.lower() in FRAME_FOLDERS:
            places.append(source.parent / NAME)
        places.append(source.with_name(f"{source.resolve().name}_{NAME}"))
    else:
        places = [source.with_name(f"{source.stem}_{NAME}"), source.parent / NAME / source.stem]
        if _alone(source):
            places.append(source.parent / NAME)
    for place in places:
        if place.is_dir() and images_in(place):
            return place
        for suffix in _VIDEO_SUFFIXES:
            if place.with_name(place.name + suffix).is_file():
                return place.with_name(place.name + suffix)
    return None


def _alone(video: Path) -> bool:
    if not video.is_file():
        return False
    others = (path for path in video.parent.iterdir() if path.suffix.lower() in _VIDEO_SUFFIXES and path != video)
    return all(is_named_masks(path) for path in others)


class FrameMasks:
    """The masks of a sequence.

    Attributes:
      path: the folder or the video.
      odd: one line for what a user should know, such as frames without a mask.
    """

    def __init__(self, path: Path, frames: Sequence[tuple[int, str]] | None):
        """Finds which mask belongs to which frame.

        Args:
          path: a folder of images, or a video with a frame for each of the source's.
          frames: (number, stem of its file) of each frame, in order; None for a video, whose frames count from 0.

        Raises:
          UserError: no masks there, or none that fits a frame.
        """
        self.path = path
        self.odd: tuple[str, ...] = ()
        self._files: dict[int, Path] | None = None
        if path.is_dir():
            self._files = _paired(path, images_in(path), frames)
            wanted = frames or ()
            missing = sum(number not in self._files for number, _ in wanted)
            if missing:
                self.odd = (f"{missing} of {len(wanted)} frames have no mask in {path.name}; they count whole",)
        elif not path.is_file():
            raise UserError(f"{path}: no such folder or video of masks")

    def reader(self) -> MaskOf:
        """Returns a function from a frame's number to its mask, to be called with increasing numbers.

        Raises:
          UserError: (the function) a mask that cannot be read, or a video of masks that ends too early.
        """
        if self._files is not None:
            files = self._files
            return lambda number: read_mask(files[number]) if number in files else None
        frames = iter(VideoFile(self.path))
        current: tuple[int, np.ndarray] = (-1, np.zeros((0, 0), bool))

        def of(number: int) -> np.ndarray:
            nonlocal current
            while current[0] < number:
                frame = next(frames, None)
                if frame is None:
                    raise UserError(f"{self.path}: ends before frame {number}; give a mask for every frame")
                current = frame.index, frame.rgb.max(axis=-1) > _VIDEO_LEVEL
            return current[1]

        return of


def read_mask(path: Path) -> np.ndarray:
    """Returns bool [H, W], true where an image is not 0."""
    return read_rgb(path).max(axis=-1) > 0


def shrunk_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns a mask at `size` (height, width), true where all that it covers is."""
    if mask.shape == tuple(size):
        return mask
    if mask.all():
        return np.ones(size, bool)
    shrunk = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).resize(size[::-1], Image.Resampling.BOX)
    return np.asarray(shrunk) == 255


def fitted_mask(
    mask: np.ndarray, window: np.ndarray | tuple | slice, source_size, full_size, size, name: Path
) -> np.ndarray:
    """Returns a mask for frames as they are worked on: one view cut out, made smaller.

    Args:
      mask: bool [H, W] of the source's size, or of one view's.
      window: index that cuts the view out of a frame of the source.
      source_size, full_size, size: (height, width) of the source, of the view, and of the frames.
      name: for the message.

    Raises:
      UserError: a mask of another size.
    """
    if mask.shape == tuple(source_size):
        mask = mask[window]
    if mask.shape not in (tuple(full_size), tuple(size)):
        raise UserError(
            f"{name}: the masks are {mask.shape[1]}x{mask.shape[0]}, the frames {source_size[1]}x{source_size[0]}; "
            "give masks of the frames' size"
        )
    return shrunk_mask(mask, size)


def _numbers(files: list[Path]) -> list[int] | None:
    """The number in each name; None where one has none, or two have the same."""
    numbers = [number for number in (_number(path.stem) for path in files) if number is not None]
    return numbers if len(numbers) == len(files) == len(set(numbers)) else None


def _paired(folder: Path, files: list[Path], frames: Sequence[tuple[int, str]] | None) -> dict[int, Path]:
    if not files:
        raise UserError(f"{folder}: holds no images; give a mask for every frame")
    if frames is None:  # of a video: numbers from 0
        numbers = _numbers(files)
        if numbers is None:
            return dict(enumerate(files))
        first = min(numbers)
        # Files that are numbered from 1 without a gap are the frames from 0 on.
        shift = first if first == 1 and sorted(numbers) == list(range(1, len(files) + 1)) else 0
        return {number - shift: path for number, path in zip(numbers, files, strict=True)}
    by_stem = {stem: number for number, stem in frames}
    stems = [path.stem.removesuffix("_mask") for path in files]
    if all(stem in by_stem for stem in stems):
        return {by_stem[stem]: path for stem, path in zip(stems, files, strict=True)}
    known = {number for number, _ in frames}
    numbers = _numbers(files)
    if numbers is not None and set(numbers) <= known:
        return dict(zip(numbers, files, strict=True))
    if len(files) == len(frames):
        return {number: path for (number, _), path in zip(frames, files, strict=True)}
    raise UserError(
        f"{folder}: its {len(files)} masks are not named after the {len(frames)} frames; name them as the frames are"
    )


def _number(stem: str) -> int | None:
    found = re.findall(r"[0-9]+", stem)
    return int(found[-1]) if found else None
