"""Frames of a video file, a capture device or a pipe, decoded by FFmpeg through PyAV."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.video.container import REPAIR, open_container, seconds_of, track_note, video_track
from endodav_jax.video.decoding import DATA_ERRORS, Decoding
from endodav_jax.video.frames import AS_IT_IS, Frame, Reading, ReadingStopped
from endodav_jax.video.header import average_rate, expected_count, pixel_aspect
from endodav_jax.video.truncation import ends_early, joined_at
from endodav_jax.video.upright import UprightRgb

# Formats whose demuxer returns a last packet that is cut off by the end of the file as if it were whole.
_LAST_MAY_BE_PART = ("mpegts", "gif", "mjpeg")
# Formats whose header was written when the video was complete; others estimate their length from the file.
_KNOW_THEIR_LENGTH = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mxf")
# This much of a transport stream after its last frame is reported; sound and tables take less.
_REST_BYTES, _REST_SHARE = 100_000, 0.2
SPLIT = "split it there and run the parts one by one"
# Streams without a container, and therefore without times.
_BARE = ("h264", "hevc", "m4v", "mpegvideo", "mjpeg", "vc1", "obu")
# Of the decoders that predict from other frames, those that report as much damage with slice threads as without.
_SLICES_TELL = ("hevc", "ffv1")


class VideoFile:
    """A `FrameSource` for one video stream; rotated and mirrored as its metadata asks, alpha composited over black.

    What a header announces is only a hint: frames are numbered by decoding them, and a file counts as truncated only if
    its structure extends beyond its end.  Reading ends at the first damaged frame (see `Decoding`).
    """

    timed = True

    def __init__(
        self,
        path: str | Path,
        reading: Reading = AS_IT_IS,
        notes: Sequence[str] = (),
        open_file: Callable[[], BinaryIO] | None = None,
        unstamped_fps: Fraction | None = None,
    ):
        """Decodes the first frame of `path`, to learn the size and make sure that there is a frame.

        Args:
          reading: which track, and whether to deinterlace.
          notes: what the user should know about how the file was chosen.
          open_file: opens the bytes of the video, if they are only a part of the file.
          unstamped_fps: frames per second for a video that does not state its own rate.

        Raises:
          UserError: missing, unreadable, not a video, or without frames.
        """
        self.path, self.reading = Path(path), reading
        self.name, self.stem = str(path), self.path.stem
        self._open_file = open_file
        self._notes = {note: note for note in notes}
        self._interlaced, self._strict = False, True
        if not self.path.exists():
            raise UserError(f"{self.name}: no such file; check the path")
        container, stream = self._open()
        with container:
            self.fps = average_rate(stream, self._open)
            if unstamped_fps is not None and stream.container.format.name in _BARE:
                self.fps = unstamped_fps
            self._bytes = container.size
            self.count = expected_count(stream, self.fps, self._bytes, self._open)
            self.pixel_aspect = pixel_aspect(stream)
            self._format = container.format.name
            self._codec = stream.codec_context.name
            self._announced = stream.frames, seconds_of(stream)
            self.track = container.streams.video.index(stream)
            note = track_note(container, stream, reading.track)
            if note:
                self._notes["track"] = note
            self._cut, self._joined = self._structure()
            decoding = self._decoding(stream, None)
            first = _first_of(decoding)
        if first is None and self._codec == "hevc":
            # Some recorders write additional information that breaks the rules, beside sound pictures.
            self._strict = False
            container, stream = self._open()
            with container:
                decoding = self._decoding(stream, None)
                first = _first_of(decoding)
            self._notes["lenient"] = "breaks the rules of H.265 from its start: damage to it may not be noticed"
        if decoding.swapped:
            self.pixel_aspect = 1 / self.pixel_aspect
        if first is None:
            raise UserError(f"{self.name}: not one frame of it can be decoded; {REPAIR}")
        self.size = first.rgb.shape[:2]
        self._keep(decoding)

    @property
    def notes(self) -> list[str]:
        """One line for each thing that the user should know."""
        return list(self._notes.values())

    @property
    def about(self) -> dict:
        """What the file is, for a description."""
        return {
            "container": self._format,
            "codec": self._codec,
            "track": self.track,
            "deinterlaced": self._interlaced,
        }

    def __iter__(self) -> Iterator[Frame]:
        """Yields every frame in display order.

        Raises:
          ReadingStopped: damaged data, a truncated file, or a change of frame size, after the good frames before it.
        """
        container, stream = self._open()
        with container:
            decoding = self._decoding(stream, self.size)
            try:
                yield from decoding
            finally:
                self._keep(decoding)
            if decoding.index == 0:  # a decoder with several threads does not always report the same damage
                raise decoding.stopped("the data are damaged")
            if self._lacks_its_end(stream, decoding):
                raise decoding.stopped("the file was cut short")
            if self._joined is not None and decoding.end < self._joined:
                raise decoding.stopped("another recording is joined to it, which such a file cannot hold", SPLIT)
            rest = self._bytes - decoding.end
            if self._format == "mpegts" and rest > max(_REST_BYTES, _REST_SHARE * self._bytes):
                self._notes["rest"] = (
                    f"its last frame lies {rest / 1e6:.1f} MB before the end of the file; what follows belongs to "
                    "other streams, maybe of another recording joined to it"
                )
            announced = self._announced[0]
            if announced and announced != decoding.index:
                self._notes["count"] = f"its header announces {announced} frames, {decoding.index} can be shown"

    def counted(self) -> int:
        """Returns the number of readable frames, by decoding them all."""
        return sum(1 for _ in _until_damage(self))

    def samples(self, count: int) -> list[np.ndarray]:
        """Returns up to `count` frames spread over the video, or its first ones if it is not seekable."""
        frames: list[np.ndarray] = []
        upright = UprightRgb()
        container, stream = self._open()
        with container:
            if container.duration:
                begin = container.start_time or 0
                for k in range(count):
                    with contextlib.suppress(StopIteration, *DATA_ERRORS):
                        container.seek(begin + int(container.duration * (k + 0.5) / count))
                        frames.append(upright(next(container.decode(stream))))
        frames = [frame for frame in frames if frame.shape[:2] == self.size]
        return frames or [frame.rgb for frame in itertools.islice(_until_damage(self), count)]

    def _open(self) -> tuple[av.container.InputContainer, av.VideoStream]:
        container = open_container(self.path if self._open_file is None else self._open_file(), self.name)
        try:
            stream = video_track(container, self.name, self.reading.track)
        except UserError:
            container.close()
            raise
        prepare_decoder(stream, self._strict)
        return container, stream

    def _decoding(self, stream: av.VideoStream, size: tuple[int, int] | None) -> Decoding:
        return Decoding(
            stream,
            self.name,
            self.fps,
            count=self.count,
            size=size,
            deinterlace=self.reading.deinterlace,
            ends_early=self._cut,
            hold_last=self._cut and self._format in _LAST_MAY_BE_PART,
        )

    def _keep(self, decoding: Decoding) -> None:
        self._notes |= decoding.notes
        self._interlaced |= decoding.interlaced

    def _structure(self) -> tuple[bool, int | None]:
        """Returns whether the file ends early, and where another recording that is joined to it begins."""
        try:
            with self.path.open("rb") if self._open_file is None else self._open_file() as file:
                return ends_early(file, self._bytes, self._format), joined_at(file, self._bytes, self._format)
        except OSError:
            return False, None

    def _lacks_its_end(self, stream: av.VideoStream, decoding: Decoding) -> bool:
        """Whether the file ends before the video does.

        A file that lost its last bytes may still hold every frame: the count or duration in its header then agrees.
        """
        if self._format == "yuv4mpegpipe":
            cut = 0 < decoding.end < self._bytes
        elif self._format.startswith("mov"):
            cut = max((entry.pos + entry.size for entry in stream.index_entries), default=0) > self._bytes
        else:
            cut = self._cut
        return cut and not (self._format in _KNOW_THEIR_LENGTH and self._all_came(decoding))

    def _all_came(self, decoding: Decoding) -> bool:
        frames, seconds = self._announced
        if frames:
            return decoding.packets >= frames
        return seconds is not None and decoding.time + 1.5 / float(self.fps) >= seconds


def decode_live(stream: av.VideoStream, name: str, reading: Reading, fps: Fraction) -> Decoding:
    """Returns the frames of an open device or pipe as they arrive; ends with `ReadingStopped` as `VideoFile` does."""
    prepare_decoder(stream)
    return Decoding(stream, name, fps, deinterlace=reading.deinterlace)


def prepare_decoder(stream: av.VideoStream, strict: bool = True) -> None:
    """Sets what each decoder needs to report damage, and what speed that leaves.

    Args:
      strict: whether what breaks the rules of a format is damage, in formats whose damage is not told otherwise.
    """
    context = stream.codec_context
    # With several frames in flight, a decoder may hand out a frame before it knows that the frame is damaged (H.264),
    # corrupt the good one before it (FFV1), or report an error together with the last frames, in which case PyAV drops
    # the error.  With slices decoded side by side, H.264 and MPEG-2 leave more damage unmarked than one thread does.
    if context.codec.intra_only or context.name in _SLICES_TELL:
        context.thread_type = "SLICE"
    else:
        context.thread_count = 1
    # The common decoders that paint over damage without marking the frame.
    if strict and context.name in ("mjpeg", "hevc"):
        context.options = {"err_detect": "explode"}


def _first_of(decoding: Decoding) -> Frame | None:
    try:
        return next(iter(decoding), None)
    except ReadingStopped:
        return None


def _until_damage(source) -> Iterator[Frame]:
    with contextlib.suppress(ReadingStopped):
        yield from source
