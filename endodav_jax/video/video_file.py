"""Frames of a video file, a capture device or a pipe, decoded by FFmpeg through PyAV."""

import contextlib
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from endodav_jax.errors import UserError
from endodav_jax.video.frames import Frame, ReadingStopped

# FFmpeg's own messages would end up between ours; what matters of them comes back as an exception.
av.logging.set_level(None)

# What a disk or a download that lost a block leaves; decoders make a picture of it without a word.
HOLE = bytes(16)
DEFAULT_FPS = Fraction(25)  # where the container does not say
REPAIR = "copy the file anew, or repair it: ffmpeg -i BROKEN -c:v libx264 -crf 12 REPAIRED.mp4"


class VideoFile:
    """A `FrameSource` of one video stream; rotated and mirrored as its metadata asks, alpha laid over black.

    FFmpeg conceals damage by painting over it, which would pass for tissue: reading ends at the first frame that
    is damaged, with `ReadingStopped`.
    """

    timed = True

    def __init__(self, path: str | Path):
        """Decodes the first frame of `path`, to know the size and that there is one.

        Raises:
          UserError: missing, unreadable, not a video, or no frame in it.
        """
        self.path = Path(path)
        self.name, self.stem = str(path), self.path.stem
        with _open(self.name, str(path)) as container:
            stream = container.streams.video[0]
            self.fps = average_rate(stream)
            self.count = _declared_count(container, stream, self.fps)
            try:
                first = next(_decode(container, self.name, 0, None), None)
            except ReadingStopped:
                first = None
        if first is None:
            raise UserError(f"{self.name}: not one frame of it can be decoded; {REPAIR}")
        self.size = first.rgb.shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        """Yields every frame in the order of display.

        Raises:
          ReadingStopped: damaged data, a truncated file, or another size of frame, after the good frames before it.
        """
        with _open(self.name, str(self.path)) as container:
            yield from _decode(container, self.name, self.count, self.size)

    def samples(self, count: int) -> list[np.ndarray]:
        """Returns up to `count` frames spread over the video; where it cannot be searched, its first ones."""
        frames: list[np.ndarray] = []
        upright = UprightRgb()
        with _open(self.name, str(self.path)) as container:
            if container.duration:
                for k in range(count):
                    with contextlib.suppress(av.error.FFmpegError, StopIteration):
                        container.seek(int(container.duration * (k + 0.5) / count))
                        frames.append(upright(next(container.decode(video=0))))
        frames = [frame for frame in frames if frame.shape[:2] == self.size]
        return frames or [frame.rgb for frame in itertools.islice(_until_damage(self), count)]


def decode_live(container: av.container.InputContainer, name: str) -> Iterator[Frame]:
    """Yields frames of an opened device or pipe as they come; ends with `ReadingStopped` as `VideoFile` does."""
    return _decode(container, name, None, None)


def open_container(target: str | BinaryIO, name: str, **how) -> av.container.InputContainer:
    """Opens anything that FFmpeg reads and that holds a video stream.

    Raises:
      UserError: one line with the reason and the cure.
    """
    try:
        container = av.open(target, mode="r", **how)
    except av.error.InvalidDataError as error:
        raise UserError(
            f"{name}: not a video that FFmpeg can read, or its end is missing; copy or export it anew"
        ) from error
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(f"{name}: cannot be opened ({error.strerror}); check the path and its permissions") from error
    if not container.streams.video:
        container.close()
        raise UserError(f"{name}: has no video stream; name a video, a folder of images or an image")
    return container


def average_rate(stream: av.VideoStream) -> Fraction:
    """Returns the average frames a second of a stream, `DEFAULT_FPS` where it does not say."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate is not None and rate.numerator > 0 and rate.denominator > 0:
            return Fraction(rate.numerator, rate.denominator)
    return DEFAULT_FPS


class UprightRgb:
    """Turns the decoded frames of one stream into uint8 [H, W, 3], alpha over black, as their display matrix says.

    One converter serves them all: a frame's own would start threads for each.  The display matrix is the stream's and
    looked at once: PyAV ties a frame to its side data in a cycle, which keeps its picture in memory until Python
    next looks for cycles.
    """

    def __init__(self):
        self._converter = VideoReformatter()
        self._turn = None

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        if self._turn is None:
            self._turn = _display_turn(frame)
        swapped, flip_x, flip_y = self._turn
        if any(component.is_alpha for component in frame.format.components):
            rgb = over_black(self._converter.reformat(frame, format="rgba").to_ndarray())
        else:
            rgb = self._converter.reformat(frame, format="rgb24").to_ndarray()
        if swapped:
            rgb = rgb.swapaxes(0, 1)
        return np.ascontiguousarray(rgb[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def _display_turn(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Returns whether axes are exchanged, and then x and y mirrored; only quarter turns and mirrorings are kept."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    # 16.16 fixed point, x' = a x + c y, y' = b x + d y with y down.
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32)[:5])  # type: ignore[call-overload]
    return (False, a < 0, d < 0) if abs(a) >= abs(b) else (True, c < 0, b < 0)


def over_black(rgba: np.ndarray) -> np.ndarray:
    """Returns uint8 [H, W, 3] of uint8 [H, W, 4]: the colour times its opacity, rounded."""
    product = rgba[..., :3].astype(np.uint16) * rgba[..., 3:]
    return ((product + 127) // 255).astype(np.uint8)


@contextlib.contextmanager
def _open(name: str, path: str):
    if not Path(path).exists():
        raise UserError(f"{name}: no such file; check the path")
    with open_container(path, name) as container:
        context = container.streams.video[0].codec_context
        # FFV1's decoder, run on several frames at once, may spoil the good frame before a damaged one.
        context.thread_type = "SLICE" if context.name == "ffv1" else "AUTO"
        if context.name == "mjpeg":  # the one common decoder that paints over damage and does not mark the frame
            context.options = {"err_detect": "explode"}
        yield container


def _until_damage(source) -> Iterator[Frame]:
    with contextlib.suppress(ReadingStopped):
        yield from source


def _declared_count(container, stream, fps: Fraction) -> int | None:
    """Returns the number of frames by the header: written there, or duration times rate."""
    if stream.frames > 0:
        return stream.frames
    seconds = _declared_seconds(container, stream)
    return max(1, round(seconds * fps)) if seconds else None


def _declared_seconds(container, stream) -> Fraction | None:
    """Returns how long the video stream lasts by the header; None where only the whole file's length is known."""
    if stream.duration and stream.time_base:
        return stream.duration * Fraction(stream.time_base.numerator, stream.time_base.denominator)
    tag = stream.metadata.get("DURATION")  # Matroska: 00:01:23.456000000
    if tag:
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds.strip("\0"))
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration, av.time_base)
    return None


def _decode(container, name: str, count: int | None, size: tuple[int, int] | None) -> Iterator[Frame]:
    """Yields the frames of an open container until its end or the first damage."""
    stream = container.streams.video[0]
    fps = average_rate(stream)
    expected_seconds = None if count is None else _declared_seconds(container, stream)
    tick = Fraction(stream.time_base.numerator, stream.time_base.denominator) if stream.time_base else None
    state = _Position(name, fps, tick, count, size)
    # H.264 and H.265 forbid three zero bytes in a row where NAL units carry their length, as in .mp4 and .mkv.
    holes_show = stream.codec_context.name in ("h264", "hevc") and (stream.codec_context.extradata or b"")[:1] == b"\1"
    packets = sound = 0
    demuxer = container.demux(stream)
    while True:
        try:
            packet = next(demuxer, None)
            if packet is None:
                break
            packets += packet.dts is not None
            # A recording that starts in the middle of a transmission has damaged packets before its first frame.
            damaged = packet.is_corrupt or (holes_show and HOLE in bytes(packet))
            sound += not damaged
            if damaged and sound > 0:
                yield from state.flush(stream)
                raise state.stopped("the data are damaged or the file was cut short")
            decoded = packet.decode()
        except (av.error.FFmpegError, OSError) as error:
            if isinstance(error, av.error.EOFError):
                break
            # What the decoder still holds is not asked for: it may be made of the damaged frame.
            raise state.stopped(f"{error.strerror}") from error
        yield from state.good(decoded)
    if stream.frames:
        short = packets < stream.frames - max(2, stream.frames // 50)
    else:  # the last frame may last longer than the others
        short = expected_seconds and state.time + 1 / fps < expected_seconds - max(Fraction(1, 2), 3 / fps)
    if short and count:
        raise state.stopped("the file was cut short")


class _Position:
    """Numbers and times the frames that pass, and makes the message when they end too soon."""

    def __init__(
        self, name: str, fps: Fraction, tick: Fraction | None, count: int | None, size: tuple[int, int] | None
    ):
        self.name, self.fps, self.tick, self.count, self.size = name, fps, tick, count, size
        self.index, self.time = 0, 0.0
        self.start: float | None = None
        self.upright = UprightRgb()

    def good(self, decoded: list[av.VideoFrame]) -> Iterator[Frame]:
        """Yields decoded frames up to the first damaged one."""
        for frame in decoded:
            if frame.is_corrupt:
                if self.index == 0:
                    continue  # before the first key frame
                raise self.stopped("the data are damaged")
            rgb = self.upright(frame)
            if self.size is None:
                self.size = rgb.shape[:2]
            if rgb.shape[:2] != self.size:
                raise ReadingStopped(
                    f"{self.name}: the size changes from {self.size[1]}x{self.size[0]} to {rgb.shape[1]}x"
                    f"{rgb.shape[0]} after {self.index} frames; cut the video there and run the parts one by one"
                )
            time = self.seconds(frame)
            if self.start is None:
                self.start = time or 0.0
            # Raw streams carry no times.
            self.time = self.index / float(self.fps) if time is None else time - self.start
            yield Frame(rgb, self.index, self.time)
            self.index += 1

    def seconds(self, frame: av.VideoFrame) -> float | None:
        """Returns a frame's own time; `frame.time` is not a number for frames that are not asked of a packet."""
        return None if frame.pts is None or self.tick is None else float(frame.pts * self.tick)

    def flush(self, stream) -> Iterator[Frame]:
        """Yields what the decoder still holds back to put frames in order, up to the place of the damaged one.

        All of it comes from good packets, but the frame of the damaged packet may belong in between.
        """
        with contextlib.suppress(av.error.FFmpegError, ReadingStopped):
            for frame in stream.codec_context.decode(None):
                time = self.seconds(frame)
                if self.start is None or time is None or time - self.start > self.time + 1.5 / float(self.fps):
                    return
                yield from self.good([frame])

    def stopped(self, why: str) -> ReadingStopped:
        """Returns the line that says how far reading came, why it ended and what helps."""
        of = f" of about {self.count}" if self.count else ""
        return ReadingStopped(f"{self.name}: reading stopped after {self.index}{of} frames ({why}); {REPAIR}")
