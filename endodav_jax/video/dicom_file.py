"""Endoscopy as archives store it: DICOM files of a video or of many frames, or a series of single-frame files."""

import io
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.video.dicom_frames import decoded_frames
from endodav_jax.video.dicom_header import DicomHeader, discreet, read_header, video_part
from endodav_jax.video.dicom_pixels import Windows, to_rgb
from endodav_jax.video.frames import SQUARE, Frame, FrameSource, Reading, ReadingStopped
from endodav_jax.video.header import DEFAULT_FPS
from endodav_jax.video.image_files import LARGEST_IMAGE
from endodav_jax.video.image_order import natural_order
from endodav_jax.video.video_file import VideoFile

_DAMAGED = "its pictures are damaged or cut short; export it anew"


def open_dicom(path: Path, name: str, reading: Reading, notes: Sequence[str] = ()) -> FrameSource:
    """Opens one DICOM file: the video inside it, or its frames.

    Args:
      notes: what the user should know about how the file was chosen.

    Raises:
      UserError: pydicom or a decoder is missing, the file is damaged, or it holds no pictures.
    """
    header = read_header(path, name)
    if header.is_video:
        return DicomVideo(path, name, reading, header, notes)
    return DicomImages([path], name, path.stem, [header], notes)


def series_in(paths: Sequence[Path], damaged: dict[Path, str] | None = None) -> tuple[list[list[Path]], list[Path]]:
    """Returns the recordings among DICOM files, and the files that hold no pictures.

    A video or a file of several frames is a recording by itself; single-frame files of the same series form one
    recording, in the order of their numbers.

    Args:
      paths: the files.
      damaged: takes the files that cannot be read, and why, instead of an error for the first of them.

    Raises:
      UserError: pydicom is missing, or a file cannot be read.
    """
    series: dict[str, list[tuple[int, list, Path]]] = {}
    empty = []
    for path in paths:
        try:
            header = read_header(path, str(path))
        except UserError as error:
            if damaged is None:
                raise
            damaged[path] = str(error).removeprefix(f"{path}: ")
            continue
        if header.size is None and not header.is_video:
            empty.append(path)
            continue
        alone = header.is_video or header.frames > 1
        key = f"{path}" if alone else f"series {header.series} {header.size}"
        series.setdefault(key, []).append((header.number, natural_order(path), path))
    return [[path for *_, path in sorted(files)] for files in series.values()], empty


class DicomVideo(VideoFile):
    """A `FrameSource` for a video inside a DICOM file, which is read in place."""

    def __init__(self, path: Path, name: str, reading: Reading, header: DicomHeader, notes: Sequence[str] = ()):
        """Raises:
        UserError: there is no video, or no frame of it can be decoded.
        """
        try:
            pieces = video_part(path)
        except (OSError, ValueError):
            pieces = []
        if not pieces:
            raise UserError(f"{name}: {_DAMAGED}")
        self.header = header
        step = header.times if isinstance(header.times, float) else None
        fps = Fraction(1 / step).limit_denominator(1001) if step else None
        super().__init__(path, reading, notes, lambda: io.BufferedReader(_Pieces(path, pieces)), fps)
        self.name = name
        if self.pixel_aspect == SQUARE:
            self.pixel_aspect = header.pixel_aspect

    @property
    def about(self) -> dict:
        """What the file is, for a description; it contains nothing about the patient."""
        return super().about | {"stream": self._format} | self.header.about


class DicomImages:
    """A `FrameSource` for the frames of DICOM files, with grey and palettes as RGB and windows applied."""

    def __init__(
        self,
        paths: Sequence[Path],
        name: str,
        stem: str,
        headers: Sequence[DicomHeader] | None = None,
        notes: Sequence[str] = (),
    ):
        """Raises:
        UserError: a file holds no pictures, the pictures differ in size, or a decoder for them is missing.
        """
        self.paths, self.name, self.stem = list(paths), name, stem
        self.headers = list(headers or (read_header(path, str(path)) for path in self.paths))
        self.notes = list(notes)
        first = self.headers[0]
        self.counts = []
        for path, header in zip(self.paths, self.headers, strict=True):
            if header.size is None or header.is_video:
                raise UserError(f"{path}: is DICOM without pictures (a report, a directory ...); name another file")
            if header.size != first.size:
                raise UserError(f"{path}: is of another size than {self.paths[0].name}; keep one size in a folder")
            if header.size[0] * header.size[1] > LARGEST_IMAGE:
                raise UserError(f"{path}: its DICOM header is damaged; export it anew")
            self.counts.append(min(header.frames, max(1, path.stat().st_size // 4)))
            if header.frames > header.announced:
                numbers = f"holds {header.frames} frames and its header announces {header.announced}"
                self.notes.append(f"{path.name}: {numbers}; all are read")
            _need_decoder(path)
        self.count = sum(self.counts)
        turned = first.quarter_turns % 2 == 1
        assert first.size is not None  # checked with the others
        height, width = first.size
        self.size = (width, height) if turned else (height, width)
        self.pixel_aspect = 1 / first.pixel_aspect if turned else first.pixel_aspect
        self._starts = _starts(first.times, self.count)
        self.timed = self._starts is not None
        self.fps = DEFAULT_FPS
        if first.times is not None and self._starts is not None:
            self.fps = _rate(first.times, self._starts)

    @property
    def about(self) -> dict:
        """What the files are, for a description; it contains nothing about the patient."""
        several = {"files": len(self.paths)} if len(self.paths) > 1 else {}
        return self.headers[0].about | several

    def __iter__(self) -> Iterator[Frame]:
        """Yields the frames in order.

        Raises:
          ReadingStopped: a frame cannot be decoded; those before it were good.
        """
        index = 0
        for path, header, count in zip(self.paths, self.headers, self.counts, strict=True):
            frames = _frames_of(path, header, count)
            for _ in range(count):
                try:
                    rgb = next(frames, None)
                except UserError as error:
                    if index == 0:
                        raise
                    raise self._stopped(index) from error
                if rgb is None or rgb.shape[:2] != self.size:
                    raise self._stopped(index)
                time = index / float(self.fps) if self._starts is None else self._starts[index]
                yield Frame(rgb, index, time)
                index += 1

    def samples(self, count: int) -> list[np.ndarray]:
        """Returns up to `count` frames spread over the recording."""
        places = set(np.linspace(0, self.count - 1, count).round().astype(int).tolist())
        frames = []
        try:
            for frame in self:
                if frame.index in places:
                    frames.append(frame.rgb)
        except ReadingStopped:
            pass  # reported when all frames are read
        return frames

    def _stopped(self, index: int) -> ReadingStopped:
        return ReadingStopped(f"{self.name}: reading stopped after {index} of {self.count} frames; {_DAMAGED}")


class _Pieces(io.RawIOBase):
    """Presents parts of a file as one seekable file."""

    def __init__(self, path: Path, pieces: Sequence[tuple[int, int]]):
        self._file = os.open(path, os.O_RDONLY)
        self._pieces, self._place = pieces, 0
        self._size = sum(length for _, length in pieces)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer) -> int:
        before = 0
        for offset, length in self._pieces:
            inside = self._place - before
            if inside < length:
                data = os.pread(self._file, min(len(buffer), length - inside), offset + inside)
                buffer[: len(data)] = data
                self._place += len(data)
                return len(data)
            before += length
        return 0

    def close(self) -> None:
        if not self.closed:
            os.close(self._file)
        super().close()


def _frames_of(path: Path, header: DicomHeader, count: int) -> Iterator[np.ndarray]:
    """Yields up to `count` frames of one file, uint8 [H, W, 3], upright."""
    from pydicom.dataset import Dataset

    described = Dataset()
    pixels = decoded_frames(path, header.frames, described)
    windows: Windows | None = None
    for index in range(count):
        try:
            with discreet():
                values = next(pixels, None)
                if values is None:
                    return
                windows = windows or Windows(path, described)
                rgb = to_rgb(values, windows.of(index))
        except Exception:  # decoders raise all kinds of errors, and quote what they read
            raise UserError(f"{path}: {_DAMAGED}") from None
        if header.flip:
            rgb = rgb[:, ::-1]
        yield np.ascontiguousarray(np.rot90(rgb, -header.quarter_turns))


def _need_decoder(path: Path) -> None:
    from pydicom import dcmread
    from pydicom.pixels import get_decoder

    with discreet():
        syntax = dcmread(path, stop_before_pixels=True, force=True, specific_tags=["Rows"]).file_meta.TransferSyntaxUID
        try:
            available = get_decoder(syntax).is_available
        except NotImplementedError:
            available = False
    if not available:
        raise UserError(
            f"{path}: is compressed as {syntax.name}, for which no decoder is installed; "
            "pip install 'endodav-jax[dicom]', or export it as video"
        )


def _starts(times: float | tuple[float, ...] | None, count: int) -> list[float] | None:
    if times is None or (isinstance(times, tuple) and len(times) < count - 1):
        return None
    steps = np.full(max(0, count - 1), times) if isinstance(times, float) else np.asarray(times[: count - 1])
    return [0.0, *np.cumsum(steps).tolist()]


def _rate(times: float | tuple[float, ...], starts: list[float]) -> Fraction:
    step = times if isinstance(times, float) else (starts[-1] / (len(starts) - 1) if len(starts) > 1 else times[0])
    return Fraction(1 / step).limit_denominator(1001)
