"""Turns frames of two interlaced fields into whole pictures with FFmpeg's bwdif."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
import av.filter

# The filter's time base; frame times are kept separately, since the filter may count in half frames.
_TICK = Fraction(1, 1000)


class Deinterlacer:
    """A filter that yields one whole picture for each frame, in order and one frame late.

    Frames that need no deinterlacing come out unchanged.
    """

    def __init__(self, template: av.VideoFrame, every: bool):
        """`template` is the first frame; `every` also deinterlaces frames that are not marked as interlaced."""
        self._graph = av.filter.Graph()
        buffer = self._graph.add_buffer(
            width=template.width, height=template.height, format=template.format, time_base=_TICK
        )
        how = f"mode=send_frame:parity=auto:deint={'all' if every else 'interlaced'}"
        self._graph.link_nodes(buffer, self._graph.add("bwdif", how), self._graph.add("buffersink")).configure()
        self._colours: deque[tuple[int, int]] = deque()  # of the frames that the filter holds
        self._pushed = 0

    def push(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Accepts the next frame and yields those that are ready."""
        frame.time_base, frame.pts = _TICK, self._pushed
        self._pushed += 1
        self._colours.append((frame.colorspace, frame.color_range))
        self._graph.vpush(frame)
        yield from self._ready()

    def flush(self) -> Iterator[av.VideoFrame]:
        """Yields the remaining frames; nothing can be pushed afterwards."""
        self._graph.vpush(None)
        yield from self._ready()

    def _ready(self) -> Iterator[av.VideoFrame]:
        while True:
            try:
                frame = self._graph.vpull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            # The graph was not told the colour matrix and range, and must not change them.
            if self._colours:
                frame.colorspace, frame.color_range = self._colours.popleft()
            yield frame
