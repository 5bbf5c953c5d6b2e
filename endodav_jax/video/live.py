"""Live frames, which can be read only once: a capture device, a pipe, a network address."""

import itertools
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.video.container import open_container, video_track
from endodav_jax.video.decoding import Decoding
from endodav_jax.video.frames import AS_IT_IS, SQUARE, Frame, FrameSource, Reading, ReadingStopped
from endodav_jax.video.header import DEFAULT_FPS, average_rate, pixel_aspect
from endodav_jax.video.reader import is_pipe, open_source
from endodav_jax.video.video_file import decode_live

# FFmpeg's names for the first, second, ... camera on each system.
CAPTURE = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
STANDARD_INPUT = "standard input"
LATEST_ONLY = {"fflags": "nobuffer", "flags": "low_delay"}


class LiveSource:
    """A `FrameSource` that can be iterated once.  It waits for the first frame to learn the size."""

    timed = True
    count = None

    def __init__(
        self,
        frames: Iterable[Frame],
        name: str,
        stem: str,
        fps: Fraction,
        pixel_aspect: Fraction = SQUARE,
        pipe: "_Pipe | None" = None,
    ):
        """Waits for the first frame; `pipe` is where they come from, if Python reads it.

        Raises:
          UserError: no frame arrives.
        """
        self._decoding = frames if isinstance(frames, Decoding) else None
        frames = iter(frames) if pipe is None else pipe.frames(frames)
        first = next(frames, None)
        if first is None:
            raise UserError(f"{name}: gives no frames; check the device or what writes into the pipe")
        self.name, self.stem, self.fps, self.size = name, stem, fps, first.rgb.shape[:2]
        turned = self._decoding is not None and self._decoding.swapped
        self.pixel_aspect = 1 / pixel_aspect if turned else pixel_aspect
        self._frames = itertools.chain([first], frames)

    @property
    def about(self) -> dict:
        """Whether the frames are deinterlaced, if a decoder knows."""
        return {} if self._decoding is None else {"deinterlaced": self._decoding.interlaced}

    @property
    def notes(self) -> list[str]:
        """One line for each thing that the user should know, so far."""
        return [] if self._decoding is None else list(self._decoding.notes.values())

    def __iter__(self) -> Iterator[Frame]:
        """Yields each frame as it arrives."""
        return self._frames

    def samples(self, count: int) -> list[np.ndarray]:
        """A live source cannot be sampled."""
        raise UserError(f"--mask auto: {self.name} can be read only once; give a mask image, or --mask none")


def open_live(name: str, raw_size: tuple[int, int] | None, pipe: BinaryIO, reading: Reading = AS_IT_IS) -> FrameSource:
    """Opens `0`, `1` ... (a capture device), a pipe, an address with `://`, or whatever `open_source` opens.

    A pipe is `-` (standard input), or the path of one: `mkfifo`, `/dev/stdin`, `<(...)` in a shell.

    Args:
      raw_size: (height, width) if the pipe carries bare RGB24 pixels; None if it carries a video.
      pipe: the stream that `-` stands for.
      reading: which track, and whether to deinterlace.

    Raises:
      UserError: it cannot be opened or yields no frames, or is no pipe and said to carry bare pixels.
    """
    if name in ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"):
        return _from_pipe(pipe, STANDARD_INPUT, "stdin", raw_size, reading)
    if is_pipe(name):
        stem = "pipe" if name.startswith(("/dev/", "/proc/")) else Path(name).stem
        return _from_pipe(_opened(name), name, stem, raw_size, reading)
    if raw_size is not None:
        height, width = raw_size
        raise UserError(
            f"{name}: is no pipe, which bare pixels come from; leave out --raw and --raw-size, or pipe a file of "
            f"pixels: endodav stream - --raw {width}x{height} < FILE"
        )
    if name.isdecimal() and not Path(name).exists():
        if sys.platform not in CAPTURE:
            raise UserError(f"{name}: capture devices are known on Linux and macOS; name a file, an address or -")
        format_name, pattern = CAPTURE[sys.platform]
        device = pattern.format(name)
        return _from_container(open_container(device, device, format=format_name), device, f"device{name}", reading)
    if "://" in name:
        return _from_container(open_container(name, name, options=LATEST_ONLY), name, "stream", reading)
    return open_source(name, reading)


def raw_frames(pipe: BinaryIO, size: tuple[int, int], fps: Fraction) -> Iterator[Frame]:
    """Yields frames of RGB24 pixels until the pipe ends; an incomplete last frame is dropped."""
    length = 3 * size[0] * size[1]
    for index in itertools.count():
        data = pipe.read(length)
        if len(data) < length:
            return
        yield Frame(np.frombuffer(data, np.uint8).reshape(*size, 3), index, index / float(fps))


def _opened(name: str) -> BinaryIO:
    """Opens a pipe, which waits for whoever writes into it."""
    try:
        return open(name, "rb")
    except OSError as error:
        raise UserError(f"{name}: cannot be opened ({error.strerror}); check its permissions") from error


def _from_pipe(pipe: BinaryIO, name: str, stem: str, raw_size: tuple[int, int] | None, reading: Reading) -> LiveSource:
    reads = _Pipe(pipe, closing=name != STANDARD_INPUT)
    if raw_size is not None:
        return LiveSource(reads.frames(raw_frames(pipe, raw_size, DEFAULT_FPS)), name, stem, DEFAULT_FPS)
    try:
        return _from_container(open_container(cast(BinaryIO, reads), name), name, stem, reading, reads)
    except UserError:
        reads.check()
        raise


def _from_container(container, name: str, stem: str, reading: Reading, pipe: "_Pipe | None" = None) -> LiveSource:
    stream = video_track(container, name, reading.track)
    fps = average_rate(stream)
    return LiveSource(decode_live(stream, name, reading, fps), name, stem, fps, pixel_aspect(stream), pipe)


class _Pipe:
    """A pipe for FFmpeg, with what it has at once instead of waiting for a full buffer.

    What Ctrl-C and SIGTERM raise in a function that FFmpeg calls is lost, and reading would go on: it is raised here
    once FFmpeg has returned.
    """

    def __init__(self, pipe: BinaryIO, closing: bool):
        self._pipe, self._closing = pipe, closing
        self._read = getattr(pipe, "read1", pipe.read)
        self._stop: KeyboardInterrupt | None = None
        if pipe.seekable():  # a file in place of a pipe
            self.seek, self.tell = pipe.seek, pipe.tell

    def read(self, size: int) -> bytes:
        """Returns at most `size` bytes; none at the end, or when the user stops."""
        try:
            return b"" if self._stop else self._read(size)
        except KeyboardInterrupt as stop:
            self._stop = stop
            return b""

    def check(self) -> None:
        """Raises what stopped reading."""
        if self._stop is not None:
            raise self._stop

    def frames(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yields frames that are decoded from this pipe."""
        try:
            for frame in frames:
                self.check()
                yield frame
            self.check()
        except ReadingStopped:
            self.check()
            raise
        finally:
            if self._closing:
                self._pipe.close()
