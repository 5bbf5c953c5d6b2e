"""Live frames, which can be read only once: a capture device, a pipe, a network address."""

import itertools
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.video.container import open_container, video_track
from endodav_jax.video.decoding import Decoding
from endodav_jax.video.frames import AS_IT_IS, SQUARE, Frame, FrameSource, Reading
from endodav_jax.video.header import DEFAULT_FPS, average_rate, pixel_aspect
from endodav_jax.video.reader import open_source
from endodav_jax.video.video_file import decode_live

# FFmpeg's names for the first, second, ... camera on each system.
CAPTURE = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
LATEST_ONLY = {"fflags": "nobuffer", "flags": "low_delay"}


class LiveSource:
    """A `FrameSource` that can be iterated once.  It waits for the first frame to learn the size."""

    timed = True
    count = None

    def __init__(self, frames: Iterable[Frame], name: str, stem: str, fps: Fraction, pixel_aspect: Fraction = SQUARE):
        """Raises:
        UserError: no frame arrives.
        """
        self._decoding = frames if isinstance(frames, Decoding) else None
        frames = iter(frames)
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
        raise UserError(f"{self.name}: frames that come once cannot be looked at beforehand")


def open_live(name: str, raw_size: tuple[int, int] | None, pipe: BinaryIO, reading: Reading = AS_IT_IS) -> FrameSource:
    """Opens `0`, `1` ... (a capture device), `-` (a pipe), an address with `://`, or whatever `open_source` opens.

    Args:
      raw_size: (height, width) if the pipe carries bare RGB24 pixels; None if it carries a video.
      pipe: the stream that `-` stands for.
      reading: which track, and whether to deinterlace.

    Raises:
      UserError: it cannot be opened or yields no frames.
    """
    if name == "-" and raw_size is not None:
        return LiveSource(raw_frames(pipe, raw_size, DEFAULT_FPS), "standard input", "stdin", DEFAULT_FPS)
    if name == "-":
        return _from_container(open_container(pipe, "standard input"), "standard input", "stdin", reading)
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


def _from_container(container, name: str, stem: str, reading: Reading) -> LiveSource:
    stream = video_track(container, name, reading.track)
    fps = average_rate(stream)
    return LiveSource(decode_live(stream, name, reading, fps), name, stem, fps, pixel_aspect(stream))
