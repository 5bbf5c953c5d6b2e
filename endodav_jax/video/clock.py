"""Frame times that always increase, whatever the container says."""

from fractions import Fraction

# Decoders put frames in order by picture, but some containers keep only decoding times: these are a frame or so off.
_JITTER_FRAMES = 1.5
_LEAST_STEP = 1e-3


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
