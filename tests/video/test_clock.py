"""Times of frames only grow."""

from fractions import Fraction

import numpy as np
import pytest

from endodav_jax.video.clock import Clock, Gaps, Stamps

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


# The number at which each frame of two groups, I P B B, is decoded, by the order in which they are shown.
DECODED = [0, 2, 3, 1, 4, 6, 7, 5]
SHOWN = [0, 3, 1, 2, 4, 7, 5, 6]  # and the other way round
KINDS = "IBBPIBBP"


def shown_stamps(packets, delay=2):
    """Returns the stamps of frames whose decoder holds back `delay` packets."""
    stamps = Stamps()
    given = []
    for number, packet in enumerate([*packets, *[None] * delay]):
        stamps.read(packet)
        if number >= delay:
            frame = number - delay
            given.append(stamps.shown(packets[DECODED[frame]], reordered=KINDS[frame] == "B"))
    return given


def test_stamps_in_the_order_of_decoding_are_put_in_the_order_of_showing():
    assert shown_stamps([10, 20, 30, 40, 50, 60, 70, 80]) == [10, 20, 30, 40, 50, 60, 70, 80]


def test_stamps_of_showing_stay_as_they_are():
    assert shown_stamps([100 + n for n in SHOWN]) == [100 + n for n in range(8)]
    assert shown_stamps([100 + n * n for n in SHOWN]) == [100 + n * n for n in range(8)]


def test_packets_that_give_no_frame_change_no_stamp_where_nothing_is_reordered():
    """Such as the second of two fields."""
    stamps = Stamps()
    for number in range(0, 100, 2):
        stamps.read(number)
        stamps.read(number + 1)
        assert stamps.shown(number, reordered=False) == number


def test_a_frame_without_a_stamp_has_none():
    assert shown_stamps([10, None, 30, 40, None, 60, 70, 80])[3] is None
    assert shown_stamps([None] * 8) == [None] * 8


def gap_note(stamps):
    gaps = Gaps()
    for stamp in stamps:
        gaps(stamp)
    return gaps.note()


def test_frames_that_are_missing_are_counted():
    even = np.arange(200) / 25
    assert gap_note(even) is None
    assert gap_note(np.delete(even, 150)) == (
        "a gap of about 1 frame after 150 frames: frames were dropped, or the file is damaged"
    )
    assert gap_note(np.delete(even, range(30, 42))).startswith("a gap of about 12 frames after 30 frames:")
    note = gap_note(np.delete(even, [5, 50, 51, 120]))
    assert note.startswith("gaps of about 4 frames in 3 places, the first after 5 frames:")
    assert gap_note(np.delete(even[:20], 5)).startswith("a gap of about 1 frame after 5 frames:")


def test_times_rounded_to_milliseconds_have_no_gaps():
    assert gap_note(np.round(np.arange(500) / 59.94, 3)) is None
    assert gap_note(np.round(np.arange(500) / 29.97, 2)) is None


@pytest.mark.parametrize("steps", [[0.04, 0.08, 0.2], [0.033, 0.033, 0.05], [0.04, 0.12], [0.01, 0.07, 0.04, 0.04]])
def test_frames_of_a_variable_rate_are_not_missed(steps):
    assert gap_note(np.cumsum(steps * 60)) is None


@pytest.mark.parametrize("stamps", [[], [0.0], [0.0, 0.04], [0.0, 0.04, 5.0]])
def test_few_frames_have_few_gaps(stamps):
    gap_note(stamps)
