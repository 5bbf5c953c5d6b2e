"""From packets to frames: numbered, timed, deinterlaced, and no further than the first damage."""

import contextlib
import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
from av.video.frame import PictureType

from endodav_jax.video.clock import Clock, Gaps, Stamps
from endodav_jax.video.container import REPAIR, packets_of
from endodav_jax.video.deinterlace import Deinterlacer
from endodav_jax.video.frames import Deinterlace, Frame, ReadingStopped
from endodav_jax.video.upright import UprightRgb

# What a disk or a download leaves in place of a lost block; decoders turn it into a picture without reporting anything.
HOLE = bytes(16)

# Everything that PyAV raises for invalid data.
DATA_ERRORS = (av.error.FFmpegError, OSError, ValueError, OverflowError, MemoryError)


class Decoding:
    """One pass over a video stream; iterating yields its frames until the end or the first damage.

    FFmpeg conceals damage by painting over it, and the result could pass for tissue.  Reading therefore ends at the
    first frame that the decoder marks as damaged, at data that it rejects, and at a packet that is cut off by the end
    of the file.  A complaint by the demuxer alone is not damage (in a transport stream joined from several, for
    example, the packet counter starts over) as long as the decoder has none.  The decoder of H.265 does not notice
    that a part of a frame is missing: there, a complaint counts unless a recording may begin after it.

    Attributes:
      index: number of frames yielded so far.
      time: time of the last one in seconds.
      packets: number of packets with data that were read.
      end: position in the file where the last of them ends, in bytes.
      interlaced: whether frames were deinterlaced.
      notes: what the user should be told, by subject.
    """

    def __init__(
        self,
        stream: av.VideoStream,
        name: str,
        fps: Fraction,
        *,
        count: int | None = None,
        size: tuple[int, int] | None = None,
        deinterlace: Deinterlace = "auto",
        ends_early: bool = False,
        hold_last: bool = False,
    ):
        """Args:
        stream: of an open container.
        name: for messages.
        fps: frame rate used to space frames that carry no times.
        count: number of frames expected, for messages.
        size: (height, width) that frames must have; None takes the size of the first one.
        deinterlace: which frames to deinterlace.
        ends_early: the file is known to end before the video does; what its last packets lack shows in their times.
        hold_last: in that case the last packet is incomplete and is not decoded.
        """
        self.index, self.time, self.packets, self.end, self.interlaced = 0, 0.0, 0, 0, False
        self.notes: dict[str, str] = {}
        self._stream, self._name, self._fps, self._count, self._size = stream, name, fps, count, size
        self._tick = Fraction(stream.time_base) if stream.time_base else None
        self._how, self._ends_early, self._hold_last = deinterlace, ends_early, hold_last
        self._clock, self._stamps, self._gaps = Clock(fps), Stamps(), Gaps()
        self._upright = UprightRgb()
        self._filter: Deinterlacer | None = None
        self._filterable = deinterlace != "off"
        self._held: deque[float | None] = deque()  # times of the frames held in the filter
        self._first_stamp: float | None = None
        self._early = 0  # frames and packets before the first key frame

    def __iter__(self) -> Iterator[Frame]:
        """Yields the frames in display order.

        Raises:
          ReadingStopped: at damage, or when the frame size changes.
        """
        context = self._stream.codec_context
        prefix = _length_prefix(context.name, context.extradata or b"")
        padded = False
        packets = self._packets()
        starts_with_key = None
        while True:
            try:
                packet = next(packets, None)
            except DATA_ERRORS as error:
                if not isinstance(error, av.error.EOFError):
                    yield from self._held_by_decoder() if isinstance(error, _Incomplete) else self._rest()
                    raise self.stopped(_reason(error)) from error
                packet = None
            if packet is None:
                break
            if packet.size:
                self.packets += 1
                self.end = (packet.pos or 0) + packet.size
            elif packet.dts is not None:
                continue  # a frame that the recorder dropped
            if starts_with_key is None:
                starts_with_key = packet.is_keyframe
            if prefix and packet.size and self.packets == 1:
                padded = HOLE in bytes(packet) and not _has_hole(bytes(packet), prefix, padded=True)
            elif prefix and _has_hole(bytes(packet), prefix, padded):
                yield from self._held_by_decoder()
                raise self.stopped("the data are damaged or the file was cut short")
            if self._ends_early and packet.size == 0:
                yield from self._held_by_decoder()
                continue
            try:
                decoded = packet.decode()
            except DATA_ERRORS as error:
                if isinstance(error, av.error.EOFError):
                    break
                if not self._started and not starts_with_key:
                    self._early += 1
                    continue
                # Frames still in the decoder are not requested: they may be predicted from the damaged one.
                yield from self._rest()
                raise self.stopped(_reason(error)) from error
            if packet.size:
                self._stamps.read(packet.pts)
            yield from self._good([(frame, self._seconds(frame)) for frame in decoded])
        yield from self._rest()
        self._note_what_was_missed()

    def stopped(self, why: str, cure: str = REPAIR) -> ReadingStopped:
        """Returns a line that tells how far reading got, why it stopped and what to do about it."""
        of = f" of about {self._count}" if self._count else ""
        return ReadingStopped(f"{self._name}: reading stopped after {self.index}{of} frames ({why}); {cure}")

    @property
    def swapped(self) -> bool:
        """Whether frames are rotated by a quarter turn."""
        return self._upright.swapped

    @property
    def _started(self) -> bool:
        return bool(self.index or self._held)

    def _packets(self) -> Iterator[av.Packet]:
        """Yields the packets of the stream, followed by an empty one, which flushes the decoder.

        A packet that the demuxer could not read completely counts as damaged if it is the last in the file.
        """
        container = self._stream.container
        assert isinstance(container, av.container.InputContainer)
        # DV packets all have the same size, and the demuxer pads the last one.
        size = container.size if container.format.name == "dv" else None
        waiting: av.Packet | None = None
        cut = False
        packets = packets_of(container, self._stream)
        if container.format.name == "mpegts" and self._stream.codec_context.name == "hevc":
            packets = self._complete(packets)
        for packet in packets:
            last = packet.size == 0 and packet.dts is None
            if waiting is not None and last:
                cut = self._ends_early = True
            elif waiting is not None:
                yield waiting
            waiting = None
            if size is not None and packet.size and (packet.pos or 0) + packet.size > size:
                cut = self._ends_early = True
            elif packet.size and (packet.is_corrupt or self._hold_last):
                waiting = packet
            else:
                yield packet
        if cut:
            raise _CutShort

    def _complete(self, packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
        """Passes on packets of H.265 in a transport stream up to one of which a part was lost, as by a network.

        The demuxer then marks the packet before it, and likewise where another recording is joined, after which the
        times jump or a key frame begins.
        """
        marked: av.Packet | None = None
        held: av.Packet | None = None
        for packet in packets:
            if held is not None:
                if self._started and not packet.is_keyframe and self._frames_between(marked, packet) < 2.5:
                    raise _Incomplete
                yield held
                marked, held = held if held.is_corrupt else None, None
            if marked is not None:
                held = packet
            else:
                yield packet
                marked = packet if packet.is_corrupt else None
        if held is not None:
            yield held

    def _frames_between(self, first: av.Packet | None, second: av.Packet) -> float:
        """Returns how many frames after another a packet is decoded; infinity if it is not known or not after it."""
        if first is None or first.dts is None or second.dts is None or self._tick is None or second.dts <= first.dts:
            return math.inf
        return float((second.dts - first.dts) * self._tick * self._fps)

    def _good(self, decoded: list[tuple[av.VideoFrame, float | None]]) -> Iterator[Frame]:
        """Yields the decoded frames, given with their times, before the first damaged one."""
        for frame, stamp in decoded:
            if frame.is_corrupt:
                if not self._started:
                    self._early += 1
                    continue
                yield from self._rest()
                raise self.stopped("the data are damaged")
            size = self._upright.size_of(frame)
            if self._size is None:
                self._size = size
            if size != self._size:
                yield from self._rest()
                raise ReadingStopped(
                    f"{self._name}: the size changes from {self._size[1]}x{self._size[0]} to {size[1]}x{size[0]} after "
                    f"{self.index} frames; cut the video there and run the parts one by one"
                )
            yield from self._whole(frame, stamp)

    def _whole(self, frame: av.VideoFrame, stamp: float | None) -> Iterator[Frame]:
        """Passes on a good frame, through the filter once a frame has needed it."""
        if self._first_stamp is None:
            self._first_stamp = stamp
        if self._filter is None and self._filterable and (frame.interlaced_frame or self._how == "on"):
            self._start_filter(frame)
        if self._filter is None:
            yield self._numbered(frame, stamp)
            return
        self._held.append(stamp)
        for ready in self._filter.push(frame):
            yield self._numbered(ready, self._held.popleft())

    def _start_filter(self, frame: av.VideoFrame) -> None:
        self._filterable = False
        try:
            self._filter = Deinterlacer(frame, every=self._how == "on")
            self.interlaced = True
            if self._how == "auto":
                self.notes["interlaced"] = (
                    "its frames are interlaced: they are deinterlaced (not with --deinterlace off)"
                )
        except DATA_ERRORS:
            self.notes["interlaced"] = "frames are interlaced, and too small or of a format that cannot be deinterlaced"

    def _rest(self) -> Iterator[Frame]:
        """Yields the frames that the filter still holds, which precede whatever comes next."""
        if self._filter is not None:
            for ready in self._filter.flush():
                if self._held:
                    yield self._numbered(ready, self._held.popleft())
            self._filter = None

    def _held_by_decoder(self) -> Iterator[Frame]:
        """Yields the frames that the decoder holds for reordering, up to the place of a missing one.

        They all come from good packets, but the frame of a damaged or missing packet may belong between them.  Stamps
        that do not tell when frames are shown do not tell that place either: what is held is then given up.
        """
        if self._stamps.shuffled and not (self._count and self.packets >= self._count):
            yield from self._rest()
            return
        with contextlib.suppress(ReadingStopped, *DATA_ERRORS):
            for frame in self._stream.codec_context.decode(None):
                stamp = self._seconds(frame)
                ahead = self.time + (1.5 + len(self._held)) / float(self._fps)
                first = self._first_stamp
                if stamp is not None and first is not None and stamp - first > ahead:
                    break
                yield from self._good([(frame, stamp)])
        yield from self._rest()

    def _numbered(self, frame: av.VideoFrame, stamp: float | None) -> Frame:
        try:
            rgb = self._upright(frame)
        except DATA_ERRORS as error:
            raise self.stopped("its pixels have a format that cannot be converted") from error
        self.time = self._clock(stamp)
        self._gaps(self.time)
        numbered = Frame(rgb, self.index, self.time)
        if self._clock.restarts and "times" not in self.notes:
            self.notes["times"] = (
                f"times start again after {self.index} frames, as in joined recordings; the clock goes on from there"
            )
        self.index += 1
        return numbered

    def _seconds(self, frame: av.VideoFrame) -> float | None:
        """Returns the time of the next frame that the decoder gives; to be called once for each, in their order.

        `frame.time` is not a number for frames that were not decoded from a packet.
        """
        reordered = frame.pict_type == PictureType.B and self._stream.codec_context.has_b_frames
        stamp = self._stamps.shown(frame.pts, reordered)
        return None if stamp is None or self._tick is None else float(stamp * self._tick)

    def _note_what_was_missed(self) -> None:
        if self._early:
            self.notes["early"] = (
                "starts between two key frames; what comes before the first one cannot be shown and is left out"
            )
        if missing := self._gaps.note():
            self.notes["missing"] = missing


def _length_prefix(codec: str, header: bytes) -> int:
    """Returns how many bytes carry the length of each NAL unit in packets, as in .mp4 and .mkv; 0 if none do."""
    place = {"h264": 4, "hevc": 21}.get(codec)
    return (header[place] & 3) + 1 if place and header[:1] == b"\1" and len(header) > place else 0


def _has_hole(packet: bytes, prefix: int, padded: bool) -> bool:
    """Whether a packet of H.264 or H.265 has zeros in a row, of which its NAL units hold no more than two.

    Args:
      prefix: how many bytes carry the length of each NAL unit.
      padded: whether zeros may follow a unit and count in its length, with which cameras that write nothing but key
        frames fill up each to the same size.
    """
    if HOLE not in packet or not padded:
        return HOLE in packet
    start = 0
    while start < len(packet):
        end = start + prefix + int.from_bytes(packet[start : start + prefix], "big")
        if end > len(packet) or end == start + prefix:  # no length
            return HOLE in packet[start:]
        if HOLE in packet[start:end].rstrip(b"\0"):
            return True
        start = end
    return False


class _CutShort(av.error.InvalidDataError):
    """The file ends in the middle of a packet."""

    def __init__(self):
        super().__init__(0, "the file was cut short")


class _Incomplete(av.error.InvalidDataError):
    """Some bytes of a packet are missing."""

    def __init__(self):
        super().__init__(0, "the data are damaged")


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or "the data are damaged")
