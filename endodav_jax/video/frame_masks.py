"""Masks of single frames, for what passes in front of the scene, such as instruments, smoke and captions.

The masks are a folder or a video next to the video or folder of images; pixels where a mask is 0 are left out.  Masks
are matched to frames by name (`000012.png` and `000012.jpg`), else by the numbers in the names, else by order if there
are as many masks as frames.  Frames of a video count from 0; names that count from 1 are recognised by their last, or
by having no gap.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.video.frames import FrameSource
from endodav_jax.video.image_files import FRAME_FOLDERS, ImageSequence, images_in, read_rgb
from endodav_jax.video.suffixes import VIDEO_SUFFIXES
from endodav_jax.video.video_file import VideoFile

NAME = "masks"
_VIDEO_LEVEL = 127  # a lossy video blurs 0 and 255; brighter than half counts

_IN_ORDER = "its masks were taken in order"
_FROM_1 = "{} is numbered from 1: mask 1 was taken for the first frame"
_FROM_0 = "{} has no mask 0: numbers were taken as counting from 0, so the first mask is that of frame {}"

MaskOf = Callable[[int], np.ndarray | None]  # bool [H, W] for a frame number; None: the whole frame counts


def is_named_masks(path: Path) -> bool:
    """Whether the name of a file or folder says that it holds masks: `masks`, `NAME_masks`."""
    stem = path.stem if is_named_video(path) else path.name
    return stem == NAME or stem.endswith(f"_{NAME}")


def masks_beside(source: Path) -> Path | None:
    """Returns the masks found next to a video or a folder of images, or None.

    For `clip.mp4` these are `clip_masks/`, `clip_masks.mp4` (or another suffix), `masks/clip/`, `masks/clip.mp4`, and,
    if the folder has no other video, `masks/` or `masks.mp4`.  For a folder they are `masks/` or `masks.mp4` in it (or
    next to it, if it is called `frames` or `images`), and `FOLDER_masks` next to it.
    """
    source = source.absolute()  # `.` has no name
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
        videos = [path for path in _files_beside(place) if path.stem == place.name and is_named_video(path)]
        if videos:
            return min(videos, key=lambda path: (path.suffix.lower() != ".mp4", path.name))
    return None


def is_named_video(path: Path) -> bool:
    """Whether the name of a file says that it is a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def _files_beside(place: Path) -> list[Path]:
    return [path for path in place.parent.iterdir() if path.is_file()] if place.parent.is_dir() else []


def _alone(video: Path) -> bool:
    if not video.is_file():
        return False
    others = (path for path in video.parent.iterdir() if is_named_video(path) and path != video)
    return all(is_named_masks(path) for path in others)


def _named_frames(source: FrameSource) -> list[tuple[int, str]] | None:
    """(number, stem of its file) of each image; None for a video."""
    if not isinstance(source, ImageSequence):
        return None
    if source.count != len(source.paths):  # stacks of images
        return [(number, str(number)) for number in range(source.count)]
    return [(number, path.stem) for number, path in enumerate(source.paths)]


class FrameMasks:
    """The masks of a sequence.

    Attributes:
      path: the folder or the video.
    """

    def __init__(self, path: Path, frames: Sequence[tuple[int, str]] | FrameSource):
        """Matches masks to frames.

        Args:
          path: a folder of images, or a video with one frame for each frame of the source.
          frames: the source, or (number, stem of its file) of each of its images, in order.  A video is read to its
            end where the names alone do not tell which frames they mean: what its header announces is no more than an
            estimate.

        Raises:
          UserError: there are no masks, or none matches a frame.
        """
        self.path = path
        self._files: dict[int, Path] | None = None
        self._numbering = ""
        self._in_order = False
        if path.is_dir():
            files = images_in(path)
            if not files:
                raise UserError(f"{path}: holds no images; give a mask for every frame")
            named = _named_frames(frames) if isinstance(frames, FrameSource) else frames
            if named is not None:
                self._files = _paired(path, files, named)
            else:
                assert isinstance(frames, FrameSource)
                self._files, self._numbering = _paired_with_video(path, files, frames)
                self._in_order = self._numbering.endswith(_IN_ORDER)
        elif not path.is_file():
            raise UserError(f"{path}: no such folder or video of masks")

    def notes(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Returns a line for each thing that the user should know, given the numbers of the frames that there are."""
        missing = self.missing(numbers)
        numbering = self._numbering if missing or self._in_order else ""  # if each has one, nobody wonders
        lacking = f"{len(missing)} of {len(numbers)} frames have no mask in {self.path.name}; they count whole"
        return tuple(line for line in (numbering, lacking if missing else "") if line)

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


def _paired(folder: Path, files: list[Path], frames: Sequence[tuple[int, str]]) -> dict[int, Path]:
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


def _paired_with_video(folder: Path, files: list[Path], video: FrameSource) -> tuple[dict[int, Path], str]:
    """Returns the masks by frame number, from 0, and a line on their numbering; empty if it is from 0 beyond doubt."""
    numbers = _numbers(files)
    if numbers is not None and 0 in numbers:
        return dict(zip(numbers, files, strict=True)), ""
    if numbers is not None and sorted(numbers) == list(range(1, len(files) + 1)):  # the first frames, if not all
        return {number - 1: path for number, path in zip(numbers, files, strict=True)}, _FROM_1.format(folder.name)
    count = video.counted() if isinstance(video, VideoFile) else video.count
    if numbers is not None and max(numbers) == count:
        return {number - 1: path for number, path in zip(numbers, files, strict=True)}, _FROM_1.format(folder.name)
    if numbers is not None and (count is None or min(numbers) < count):
        return dict(zip(numbers, files, strict=True)), _FROM_0.format(folder.name, min(numbers))
    if count is None or len(files) == count:
        told = "has no numbers of frames" if numbers is None else f"is numbered from {min(numbers)}"
        return dict(enumerate(files)), f"{folder.name} {told}; {_IN_ORDER}"
    what = "are not numbered" if numbers is None else f"are numbered from {min(numbers)} to {max(numbers)}"
    raise UserError(
        f"{folder}: its {len(files)} masks {what}, the video has frames 0 to {count - 1}; number them as the frames are"
    )


def _number(stem: str) -> int | None:
    found = re.findall(r"[0-9]+", stem)
    return int(found[-1]) if found else None
