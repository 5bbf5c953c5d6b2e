"""Frame times that always increase, whatever the container says."""

from collections import deque
from fractions import Fraction
from statistics import median

# Decoders put frames in order by picture, but some containers keep only decoding times: these are a frame or so off.
_JITTER_FRAMES = 1.5
_LEAST_STEP = 1e-3
# No decoder of H.264 or H.265 holds back more frames than this to put them in order.
_MOST_HELD = 16
# Frames are evenly spaced if few steps are not about as long as the typical one, and few are several times as long.
_STEPS_LEARNT = 50
_UNEVEN, _ODD_SHARE, _GAP_SHARE = 0.3, 0.02, 0.2


class Stamps:
    """Finds the stamp of each decoded frame, also in containers that know only the order of decoding.

    A frame carries the stamp of its packet.  AVI, MXF and ASF have none that tell when H.264 with B-frames is shown;
    FFmpeg then numbers packets as they come, and frames, which are shown in another order, carry these numbers
    shuffled.  Such a stream gives itself away: its packets are stamped in growing order although B-frames, which are
    decoded after a frame that is shown later, are among them.  Each frame then gets the lowest stamp not yet used.

    Attributes:
      shuffled: whether the stream turned out to be of that kind, or has B-frames and no stamps at all.
    """

    def __init__(self):
        self._unused: deque[int] = deque()  # stamps of packets, in growing order
        self._highest: int | None = None
        self._shown_order = False  # whether packets are seen to carry the times at which they are shown
        self.shuffled = False

    def read(self, stamp: int | None) -> None:
        """Accepts the stamp of the next packet that is decoded, None if it has none."""
        if stamp is None or self._shown_order:
            return
        if self._highest is not None and stamp < self._highest:
            self._shown_order, self.shuffled = True, False
            self._unused.clear()
            return
        self._highest = stamp
        self._unused.append(stamp)
        if len(self._unused) > _MOST_HELD + 1:  # a packet that gave no frame
            self._unused.popleft()

    def shown(self, stamp: int | None, reordered: bool) -> int | None:
        """Returns the stamp of the next frame in display order.

        Args:
          stamp: the one that it carries.
          reordered: whether it was decoded after a frame that is shown later.
        """
        self.shuffled |= reordered and not self._shown_order
        if stamp is None or self._shown_order:
            return stamp
        if self.shuffled and self._unused:
            return self._unused.popleft()
        while self._unused and self._unused[0] <= stamp:
            self._unused.popleft()
        return stamp


class Clock:
    """Turns the time stamps of decoded frames into seconds since the first, strictly increasing.

    In joined recordings the time stamps start over at the join: the clock then advances by one frame, and later
    frames follow from there.  A single frame that is a little early is shown just after the one before it.

    Attributes:
      restarts: how many times the stamps started over.
    """

    def __init__(self, fps: Fraction):
        self.restarts = 0
        self._step = 1 / float(fps)
        self._fps = float(fps)
        self._offset: float | None = None
        self._last: float | None = None
        self._late = False
        self._seen = 0

    def __call__(self, stamp: float | None) -> float:
        """Returns the time of the next frame in seconds; `stamp` is its own time, or None if the stream has none."""
        time = self._unstamped() if stamp is None else self._stamped(stamp)
        self._last = time
        self._seen += 1
        return time

    def _unstamped(self) -> float:
        if self._offset is None or self._last is None:
            return self._seen / self._fps
        return self._last + self._step

    def _stamped(self, stamp: float) -> float:
        if self._offset is None:
            self._offset = -stamp if self._last is None else self._last + self._step - stamp
        time = stamp + self._offset
        if self._last is None or time > self._last:
            self._late = False
            return time
        if not self._late and self._last - time <= _JITTER_FRAMES * self._step:
            self._late = True
            return self._last + min(_LEAST_STEP, self._step / 10)
        self.restarts += 1
        self._offset += self._last + self._step - time
        return self._last + self._step


class Gaps:
    """Finds places where frames are missing from a stream whose frames are otherwise evenly spaced."""

    def __init__(self):
        self._learnt: list[float] = []  # the first steps, until their typical length is known
        self._step: float | None = None
        self._last: float | None = None
        self._frames = self._odd = self._places = self._missing = self._first = 0

    def __call__(self, time: float) -> None:
        """Accepts the time of the next frame in seconds."""
        if self._last is not None:
            self._learnt.append(time - self._last)
            if self._step is not None or len(self._learnt) == _STEPS_LEARNT:
                self._count()
        else:
            self._frames = 1
        self._last = time

    def note(self) -> str | None:
        """Returns a line for the user, None if no frame is missing or frames are not evenly spaced."""
        self._count()
        irregular = self._odd > _ODD_SHARE * self._frames or self._places > _GAP_SHARE * self._frames
        if not self._places or irregular:
            return None
        frames = f"{self._missing} frame{'s' if self._missing > 1 else ''}"
        if self._places == 1:
            where = f"a gap of about {frames} after {self._first} frames"
        else:
            where = f"gaps of about {frames} in {self._places} places, the first after {self._first} frames"
        return f"{where}: frames were dropped, or the file is damaged"

    def _count(self) -> None:
        if self._step is None and self._learnt:
            self._step = median(self._learnt)
        for step in self._learnt:
            assert self._step is not None
            ratio = step / self._step
            frames = round(ratio)
            if frames > 1 and abs(ratio - frames) < _UNEVEN * frames:
                self._missing += frames - 1
                self._places += 1
                self._first = self._first or self._frames
            elif abs(ratio - 1) > _UNEVEN:
                self._odd += 1
            self._frames += 1
        self._learnt.clear()
