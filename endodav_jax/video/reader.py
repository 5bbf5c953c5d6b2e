"""The frames that a job works on: opened by name, cropped to one eye, reduced in rate and size."""

import glob
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from endodav_jax.choices import Stereo
from endodav_jax.errors import UserError
from endodav_jax.video.dicom_file import DicomImages, open_dicom, series_in
from endodav_jax.video.dicom_header import DICOM_SUFFIXES, is_dicom
from endodav_jax.video.frames import AS_IT_IS, Frame, FrameSource, Reading
from endodav_jax.video.image_files import SUFFIXES, ImageSequence, images_matching
from endodav_jax.video.recognise import frames_of_folder, holds_recordings, left_out_notes
from endodav_jax.video.video_file import VideoFile


def open_source(name: str, reading: Reading = AS_IT_IS) -> FrameSource:
    """Opens a video, a DICOM file, a folder of images, a pattern of images (`frames/*.png`) or one image.

    A folder gives its images, or else its only video or DICOM recording; anything else that might be meant is named in
    the source's notes.

    Args:
      reading: which track of a video, and whether to deinterlace.

    Raises:
      UserError: missing, unreadable, neither video nor image, without frames, or with images of several sizes.
    """
    path = Path(name)
    if is_pipe(name):
        raise UserError(f"{name}: is a pipe, which can be read only once; copy it to a file, or use `endodav stream`")
    try:
        if path.is_dir():
            return _open_folder(path, name, reading)
        if not path.exists() and glob.has_magic(name):
            return ImageSequence(images_matching(name), name, _stem_of_pattern(path))
        if path.suffix.lower() in SUFFIXES and path.exists():
            return ImageSequence([path], name, path.stem)
        if (path.suffix.lower() in DICOM_SUFFIXES and path.exists()) or is_dicom(path):
            return open_dicom(path, name, reading)
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror}); check its permissions") from error
    return VideoFile(name, reading)


def is_pipe(name: str) -> bool:
    """Whether a path is a pipe."""
    try:
        return Path(name).is_fifo()
    except OSError:
        return False


def _open_folder(folder: Path, name: str, reading: Reading) -> FrameSource:
    found = frames_of_folder(folder)
    left_out = dict(found.left_out)
    left_out |= {inner: "a folder of its own" for inner in found.folders if holds_recordings(inner)}
    stem = folder.resolve().name
    if found.images:
        left_out |= dict.fromkeys(found.videos + found.dicom, "its folder is read as images")
        return ImageSequence(found.images, name, stem, left_out_notes(left_out))
    series, empty = series_in(found.dicom) if found.dicom else ([], [])
    left_out |= dict.fromkeys(empty, "no pictures")
    recordings = [[video] for video in found.videos] + series
    if not recordings:
        there = "".join(f"; {note}" for note in left_out_notes(left_out))
        raise UserError(f"{name}: holds no images ({', '.join(SUFFIXES)}){there}; name a video or another folder")
    if len(recordings) > 1:
        names = ", ".join(files[0].name for files in recordings[:5]) + (", ..." if len(recordings) > 5 else "")
        raise UserError(f"{name}: holds {len(recordings)} recordings ({names}); name one of them")
    (files,) = recordings
    if len(files) > 1:
        return DicomImages(files, name, stem, notes=left_out_notes(left_out))
    if found.videos:
        return VideoFile(files[0], reading, notes=left_out_notes(left_out))
    return open_dicom(files[0], str(files[0]), reading, left_out_notes(left_out))


class FrameReader:
    """Frames of a source, cropped, thinned and resized; can be iterated repeatedly, with one frame in memory.

    Attributes:
      source: the `FrameSource` underneath.
      window: index that crops a source frame to the wanted view.
      size: (height, width) of the frames that come out.
      full_size: the same before `max_res`.
      fps: frames per second of a video made from the frames that come out.
      count: how many frames will come out, or None if the source does not say; an estimate for video.
      pixel_aspect: width over height of a pixel when displayed; resizing does not change it.
    """

    def __init__(
        self, source: FrameSource, *, stereo: Stereo = "none", max_len: int = 0, target_fps: float = 0, max_res: int = 0
    ):
        """Zero means no limit.

        Args:
          stereo: which half to take of frames that hold two views, one above the other or side by side.
          max_len: maximum number of frames.
          target_fps: maximum frames per second, chosen by their times; none is repeated.  Images have no times: all
            are taken, and the output shows this many per second.
          max_res: maximum length of the longer side, in pixels.
        """
        self.source, self.stereo, self.max_len = source, stereo, max_len
        self.window = half_window(source.size, stereo)
        self.full_size = _size_of(self.window)
        self.size = _limited(self.full_size, max_res)
        target = Fraction(target_fps).limit_denominator(1001)
        self.thinned = source.timed and 0 < target < source.fps
        self.fps = target if self.thinned or (target and not source.timed) else source.fps
        self.pixel_aspect = source.pixel_aspect
        self.count = source.count
        if self.count is not None and self.thinned:
            self.count = max(1, round(self.count * self.fps / source.fps))
        if max_len:
            self.count = max_len if self.count is None else min(max_len, self.count)

    @property
    def scale(self) -> tuple[float, float]:
        """(vertical, horizontal) ratio of size to full size."""
        return self.size[0] / self.full_size[0], self.size[1] / self.full_size[1]

    def __iter__(self) -> Iterator[Frame]:
        """Yields the chosen frames.

        Raises:
          ReadingStopped: the source cannot be read any further.
        """
        frames = self._thin(self.source) if self.thinned else iter(self.source)
        for frame in itertools.islice(frames, self.max_len or None):
            yield Frame(self._shape(frame.rgb), frame.index, frame.time)

    def samples(self, count: int) -> list[np.ndarray]:
        """Returns up to `count` frames, uint8 [H, W, 3], spread over the whole source."""
        return [self._shape(rgb) for rgb in self.source.samples(count)]

    def _thin(self, frames) -> Iterator[Frame]:
        """Yields the frame nearest to each tick of the target rate, and none where the source has a gap."""
        half_frame = 0.5 / float(self.source.fps)
        rate = float(self.fps)
        tick = 0
        for frame in frames:
            if frame.time + half_frame >= tick / rate:
                yield frame
                tick = int((frame.time + half_frame) * rate) + 1

    def _shape(self, rgb: np.ndarray) -> np.ndarray:
        rgb = rgb[self.window]
        if self.size != self.full_size:
            rgb = cv2.resize(rgb, self.size[::-1], interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(rgb)


def half_window(size: tuple[int, int], stereo: Stereo) -> tuple[slice, slice]:
    """Returns the index of the wanted half of a frame of `size` (height, width) that holds two views."""
    height, width = size
    match stereo:
        case "top" | "bottom":
            height = max(1, height // 2)
        case "left" | "right":
            width = max(1, width // 2)
    top = size[0] - height if stereo == "bottom" else 0
    left = size[1] - width if stereo == "right" else 0
    return np.s_[top : top + height, left : left + width]


def _size_of(window: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = window
    return rows.stop - rows.start, columns.stop - columns.start


def _limited(size: tuple[int, int], max_res: int) -> tuple[int, int]:
    """Returns the size with its longer side at most `max_res`, rounded to even numbers as in Video-Depth-Anything."""
    if not max_res or max(size) <= max_res:
        return size
    height, width = (max(2, round(n * max_res / max(size))) for n in size)
    return height + height % 2, width + width % 2


def _stem_of_pattern(path: Path) -> str:
    """Returns the name of the nearest parent folder of a pattern that contains no wildcard itself."""
    parents = [parent for parent in path.parents if not glob.has_magic(str(parent))]
    return parents[0].resolve().name or "images"
