"""Times of frames only grow."""

from fractions import Fraction

import numpy as np
import pytest

from endodav_jax.video.clock import Clock

RATE = Fraction(25)


def times(stamps, rate=RATE):
    clock = Clock(rate)
    return [clock(stamp) for stamp in stamps], clock


@pytest.mark.parametrize("start", [0.0, 1.48, -0.08, 95443.7])
def test_times_count_from_the_first_frame(start):
    shown, clock = times(start + np.arange(5) / 25)
    np.testing.assert_allclose(shown, np.arange(5) / 25, atol=1e-9)
    assert clock.restarts == 0


def test_joined_recordings_go_on_where_they_start_again():
    part = 1.48 + np.arange(10) / 25
    shown, clock = times([*part, *part, *(part - 3.0)])
    np.testing.assert_allclose(shown, np.arange(30) / 25, atol=1e-9)
    assert clock.restarts == 2


def test_a_gap_stays_a_gap():
    shown, _ = times([0.0, 0.04, 7.0, 7.04, 0.0, 0.04])
    np.testing.assert_allclose(shown, [0.0, 0.04, 7.0, 7.04, 7.08, 7.12], atol=1e-9)


def test_one_early_frame_shifts_no_other():
    shown, clock = times([0.0, 0.08, 0.04, 0.12, 0.16])
    assert shown[1] < shown[2] < shown[3]
    np.testing.assert_allclose(np.delete(shown, 2), [0.0, 0.08, 0.12, 0.16], atol=1e-9)
    assert clock.restarts == 0


@pytest.mark.parametrize("stamps", [[0.0] * 50, [2.0 - i / 25 for i in range(50)], [0.0, None] * 25, [None] * 50])
def test_whatever_stamps_come_times_grow(stamps):
    shown, _ = times(stamps)
    assert (np.diff(shown) > 0).all()


def test_without_stamps_frames_are_as_far_apart_as_the_rate_says():
    shown, _ = times([None] * 4, Fraction(10))
    np.testing.assert_allclose(shown, [0, 0.1, 0.2, 0.3])
