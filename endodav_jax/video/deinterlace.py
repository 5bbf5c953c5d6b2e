"""Frames of two fields, one line each in turn, made into whole pictures by FFmpeg's bwdif."""

from collections.abc import Iterator
from fractions import Fraction

import av
import av.filter

# The clock of the filter; the times of frames are kept beside it, since it may count in halves of them.
_TICK = Fraction(1, 1000)


class Deinterlacer:
    """A filter that gives one whole picture for each frame, in order, one frame late.

    A frame that passes untouched comes out as it went in.
    """

    def __init__(self, template: av.VideoFrame, every: bool):
        """`template` is the first frame; `every` deinterlaces frames that are not marked as interlaced as well."""
        self._graph = av.filter.Graph()
        buffer = self._graph.add_buffer(
            width=template.width, height=template.height, format=template.format, time_base=_TICK
        )
        how = f"mode=send_frame:parity=auto:deint={'all' if every else 'interlaced'}"
        self._graph.link_nodes(buffer, self._graph.add("bwdif", how), self._graph.add("buffersink")).configure()
        self._colour = template.colorspace, template.color_range
        self._pushed = 0

    def push(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Takes the next frame and yields those that are ready."""
        frame.time_base, frame.pts = _TICK, self._pushed
        self._pushed += 1
        self._graph.vpush(frame)
        yield from self._ready()

    def flush(self) -> Iterator[av.VideoFrame]:
        """Yields what is held back; nothing can be pushed after it."""
        self._graph.vpush(None)
        yield from self._ready()

    def _ready(self) -> Iterator[av.VideoFrame]:
        while True:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            # The graph was not told the colours' matrix and range, and must not change them.
            frame.colorspace, frame.color_range = self._colour
            yield frame
