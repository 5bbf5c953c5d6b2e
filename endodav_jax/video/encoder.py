"""Encodes frames as an H.264 file that any player shows."""

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from endodav_jax.errors import UserError
from endodav_jax.files import whole_file
from endodav_jax.video.frames import SQUARE

# The quality of the published programs.  The preset takes half the time and a third less memory than the default, for
# files of the same size; three videos are written at once while the network runs.
X264 = {"crf": "18", "preset": "veryfast"}
FRAGMENT_SECONDS = 2
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
LONGEST_SIDE = 16384  # pixels; x264 takes no more
OURS = "depth by endodav_jax"  # the comment in every file, by which results are told from recordings
_TICK = Fraction(1, 90000)
_BT709 = 1  # the number of BT.709 in H.264 for primaries, transfer and matrix; without it players guess by size


@contextlib.contextmanager
def mp4_writer(path: Path, fps: Fraction, pixel_aspect: Fraction = SQUARE) -> Iterator[Callable[..., None]]:
    """Yields a function `write(rgb, time=None)` that appends a frame, uint8 [H, W, 3]; the first sets the size.

    Frames are spaced evenly, or shown at `time` in seconds if all of them have one, as a live source needs.
    `pixel_aspect`, width over height of a pixel, is passed on to players.
    yuv420p shares colour among 2x2 pixels, so an odd width or height is made even by repeating the last column or row.

    Raises:
      UserError: the file cannot be written, or this FFmpeg has no H.264 encoder.
    """
    with whole_file(path) as part:
        # An absolute path, since FFmpeg takes anything before a colon as a protocol.
        container = av.open(str(part.absolute()), "w", format="mp4")
        with _encoding(container, fps, pixel_aspect) as write:
            yield write


@contextlib.contextmanager
def fragmented_mp4(file: Path, fps: Fraction, pixel_aspect: Fraction = SQUARE) -> Iterator[Callable[..., None]]:
    """Yields the function of `mp4_writer`, for a file that has its name from the start and is written in fragments.

    There is one every `FRAGMENT_SECONDS`, and each can be shown, whatever ends the next ones (see `fragments.py`).

    Raises:
      OSError: the file cannot be written; what was written before is whole.
    """
    with _Watched(file) as watched:
        container = av.open(watched, "w", format="mp4", container_options=FRAGMENTS)
        with _encoding(container, fps, pixel_aspect, g=str(max(1, round(FRAGMENT_SECONDS * fps)))) as encode:

            def write(rgb: np.ndarray, time: float | None = None) -> None:
                encode(rgb, time)
                watched.check()

            yield write
    watched.check()  # what is written when the container is closed


@contextlib.contextmanager
def _encoding(
    container: av.container.OutputContainer, fps: Fraction, pixel_aspect: Fraction, **options: str
) -> Iterator[Callable[..., None]]:
    """Yields the function of `mp4_writer` for a container, which is closed at the end; `options` are x264's."""
    container.metadata["comment"] = OURS
    stream = _stream(container, fps)
    stream.options = {**X264, **options}
    if pixel_aspect != SQUARE:
        stream.codec_context.sample_aspect_ratio = pixel_aspect.limit_denominator(255)
    converter = VideoReformatter()  # a converter per frame would start threads each time

    def write(rgb: np.ndarray, time: float | None = None) -> None:
        rgb = with_even_sides(rgb)
        if not stream.codec_context.is_open:
            stream.height, stream.width = rgb.shape[:2]
            if time is not None:
                stream.codec_context.time_base = _TICK
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame = converter.reformat(
            frame, format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        if time is not None:
            frame.time_base, frame.pts = _TICK, round(time / _TICK)
        container.mux(stream.encode(frame))

    try:
        yield write
        if stream.codec_context.is_open:
            container.mux(stream.encode(None))
    except BaseException:
        # The first error tells what happened; closing a file on a full disk only repeats it.
        with contextlib.suppress(OSError, av.error.FFmpegError):
            container.close()
        raise
    container.close()


def with_even_sides(rgb: np.ndarray) -> np.ndarray:
    """Returns uint8 [H, W, 3] with its last row and column repeated where their number is odd, as 4:2:0 needs it."""
    odd_rows, odd_columns = rgb.shape[0] % 2, rgb.shape[1] % 2
    return np.pad(rgb, ((0, odd_rows), (0, odd_columns), (0, 0)), mode="edge") if odd_rows or odd_columns else rgb


class _Watched:
    """A file that remembers why it could not be written, which FFmpeg does not tell of fragments."""

    def __init__(self, file: Path):
        self._file = file.open("wb", buffering=0)
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Writes everything; after an error nothing, so that the file ends with what is whole."""
        rest = memoryview(data)
        try:
            while rest and self._error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
        return len(data)

    def check(self) -> None:
        """Raises the first error."""
        if self._error is not None:
            raise self._error

    def __enter__(self) -> "_Watched":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()


def _stream(container: av.container.OutputContainer, fps: Fraction) -> av.VideoStream:
    try:
        stream = container.add_stream("libx264", rate=fps.limit_denominator(65535))
    except av.codec.codec.UnknownCodecError as error:
        raise UserError("libx264: this build of PyAV has no H.264 encoder; install PyAV from its wheel") from error
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = ColorRange.MPEG
    return stream
