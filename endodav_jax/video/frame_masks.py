"""Masks of single frames, for what passes in front of the scene, such as instruments, smoke and captions.

The masks are a folder or a video next to the video or folder of images; pixels where a mask is 0 are left out.  Masks
are matched to frames by name (`000012.png` and `000012.jpg`), else by the numbers in the names, else by order if there
are as many masks as frames.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.video.frames import FrameSource
from endodav_jax.video.image_files import FRAME_FOLDERS, ImageSequence, images_in, read_rgb
from endodav_jax.video.video_file import VideoFile

NAME = "masks"
_VIDEO_LEVEL = 127  # a lossy video blurs 0 and 255; brighter than half counts
_VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv", ".ts", ".mts", ".m2ts")

MaskOf = Callable[[int], np.ndarray | None]  # bool [H, W] for a frame number; None: the whole frame counts


def is_named_masks(path: Path) -> bool:
    """Whether the name of a file or folder says that it holds masks: `masks`, `NAME_masks`."""
    stem = path.stem if path.suffix.lower() in _VIDEO_SUFFIXES else path.name
    return stem == NAME or stem.endswith(f"_{NAME}")


def masks_beside(source: Path) -> Path | None:
    """Returns the masks found next to a video or a folder of images, or None.

    For `clip.mp4` these are `clip_masks/`, `clip_masks.mp4` (or another suffix), `masks/clip/`, `masks/clip.mp4`, and,
    if the folder has no other video, `masks/` or `masks.mp4`.  For a folder they are `masks/` or `masks.mp4` in it (or
    next to it, if it is called `frames` or `images`), and `FOLDER_masks` next to it.
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


def frames_of(source: FrameSource) -> list[tuple[int, str]] | None:
    """Returns what masks of a source are matched to: (number, stem of its file) of each image; None for a video."""
    if not isinstance(source, ImageSequence):
        return None
    if source.count != len(source.paths):  # stacks of images
        return [(number, str(number)) for number in range(source.count)]
    return [(number, path.stem) for number, path in enumerate(source.paths)]


class FrameMasks:
    """The masks of a sequence.

    Attributes:
      path: the folder or the video.
      odd: one line on what the user should know, such as frames without a mask.
    """

    def __init__(self, path: Path, frames: Sequence[tuple[int, str]] | None):
        """Matches masks to frames.

        Args:
          path: a folder of images, or a video with one frame for each frame of the source.
          frames: (number, stem of its file) of each frame, in order; None for a video, whose frames count from 0.

        Raises:
          UserError: there are no masks, or none matches a frame.
        """
        self.path = path
        self.odd: tuple[str, ...] = ()
        self._files: dict[int, Path] | None = None
        if path.is_dir():
            self._files = _paired(path, images_in(path), frames)
            wanted = frames or ()
            missing = self.missing(number for number, _ in wanted)
            if missing:
                self.odd = (f"{len(missing)} of {len(wanted)} frames have no mask in {path.name}; they count whole",)
        elif not path.is_file():
            raise UserError(f"{path}: no such folder or video of masks")

    def missing(self, numbers: Iterable[int]) -> list[int]:
        """Returns the numbers of those frames that have no mask; of a video of masks, that is found on reading."""
        return [] if self._files is None else [number for number in numbers if number not in self._files]

    def reader(self) -> MaskOf:
        """Returns a function from a frame's number to its mask, to be called with increasing numbers.

        Raises:
          UserError: (from the function) a mask cannot be read, or a video of masks ends too early.
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
    """Returns bool [H, W], true where an image is nonzero."""
    return read_rgb(path).max(axis=-1) > 0


def shrunk_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns a mask at `size` (height, width), true where every pixel that it covers is true."""
    if mask.shape == tuple(size):
        return mask
    if mask.all():
        return np.ones(size, bool)
    shrunk = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).resize(size[::-1], Image.Resampling.BOX)
    return np.asarray(shrunk) == 255


def fitted_mask(
    mask: np.ndarray, window: np.ndarray | tuple | slice, source_size, full_size, size, name: Path
) -> np.ndarray:
    """Returns a mask for frames as they are processed: cropped to one view, then downsized.

    Args:
      mask: bool [H, W], of the size of the source or of one view.
      window: index that crops a source frame to the view.
      source_size, full_size, size: (height, width) of the source, of the view, and of the frames.
      name: for the message.

    Raises:
      UserError: the mask has another size.
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
    """The number in each name; None if a name has none, or two share one."""
    numbers = [number for number in (_number(path.stem) for path in files) if number is not None]
    return numbers if len(numbers) == len(files) == len(set(numbers)) else None


def _paired(folder: Path, files: list[Path], frames: Sequence[tuple[int, str]] | None) -> dict[int, Path]:
    if not files:
        raise UserError(f"{folder}: holds no images; give a mask for every frame")
    if frames is None:  # a video: numbers from 0
        numbers = _numbers(files)
        if numbers is None:
            return dict(enumerate(files))
        first = min(numbers)
        # Files numbered from 1 without gaps are frames 0, 1, ...
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
