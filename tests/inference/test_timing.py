"""The pace is that of the windows in the middle of a video, whatever its first and last take."""

import numpy as np
import pytest

from endodav_jax.inference import timing
from endodav_jax.inference.windows import STEP, Window


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    return now


def windowed(clock, windows, first, middle, last):
    """Yields frames as `iter_infer` does, in bursts of a window, each after its time."""
    for index in range(windows):
        window = Window(index, "endodav", windows * STEP)
        clock[0] += first if index == 0 else last if index == windows - 1 else middle
        for slot in window.final_slots:
            yield window.first_frame + slot, np.zeros(())


def test_first_and_last_window_do_not_count(clock):
    seconds, window = timing.paced(windowed(clock, 5, first=100.0, middle=2.0, last=7.0))
    assert seconds == 113.0
    assert window == 2.0


def test_milliseconds_are_those_of_a_frame_once_everything_has_run(clock):
    class Estimator:
        """Slow when it runs for the first time, then half a second a frame."""

        calls = 0

        def iter_infer(self, frames, align):
            Estimator.calls += 1
            for number, frame in enumerate(frames):
                assert frame.shape == (6, 8, 3)
                clock[0] += 1000.0 if Estimator.calls == 1 else 0.5
                yield number, frame

    assert timing.milliseconds_per_frame(Estimator(), (6, 8)) == pytest.approx(500.0)
    assert Estimator.calls == 2
