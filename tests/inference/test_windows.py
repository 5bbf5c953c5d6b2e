"""The plan of windows: exactly the published programs' frames, and nothing looked at that has no effect."""

import itertools
import re

import pytest

from endodav_jax.inference.windows import ALIGN_RULES, STEP, WINDOW_FRAMES, Window, carried_slots, window_count


def stitching_cases(cases: dict) -> list[tuple[str, int]]:
    """(rule, length) of every case in the golden file."""
    matches = (re.fullmatch(r"(\w+?)_(\d+)_window_frames", key) for key in cases)
    return [(match[1], int(match[2])) for match in matches if match]


def windows_of(rule: str, length: int) -> list[Window]:
    """The windows as a stream meets them: the length is known only from where padding begins."""
    return [
        Window(index, rule, None if index * STEP + WINDOW_FRAMES <= length else length)
        for index in range(window_count(length))
    ]


@pytest.mark.golden
def test_every_slot_holds_the_published_frame(golden):
    cases = golden.arrays("stitching")
    assert stitching_cases(cases)
    for rule, length in stitching_cases(cases):
        frames = [list(window.frames) for window in windows_of(rule, length)]
        assert frames == cases[f"{rule}_{length}_window_frames"].tolist(), (rule, length)


@pytest.mark.parametrize("rule", ALIGN_RULES)
def test_carried_slots_hold_the_next_windows_first_ten_frames(rule):
    for length in (23, 33, 60, 100):
        windows = windows_of(rule, length)
        for before, after in itertools.pairwise(windows):
            assert [before.frames[slot] for slot in carried_slots(rule)] == list(after.frames[:10])


@pytest.mark.parametrize("rule", ALIGN_RULES)
@pytest.mark.parametrize("length", [1, 2, 9, 10, 21, 22, 23, 24, 25, 31, 32, 33, 44, 45, 53, 54, 55, 100])
def test_every_frame_is_finished_once_and_in_order(rule, length):
    finished = [w.first_frame + slot for w in windows_of(rule, length) for slot in w.final_slots]
    assert finished == list(range(length))


@pytest.mark.parametrize("rule", ALIGN_RULES)
def test_the_last_window_says_so_and_final_slots_are_used(rule):
    for length in range(1, 101):
        windows = windows_of(rule, length)
        assert [window.has_next for window in windows] == [True] * (len(windows) - 1) + [False]
        for window in windows:
            assert set(window.final_slots) <= set(window.used_slots)


def test_a_window_that_finishes_nothing_is_not_looked_at():
    first, second = windows_of("endodav", 23)
    assert list(first.final_slots) == list(range(23))
    assert not second.final_slots
    assert not second.used_slots


def test_context_frames_are_not_looked_at_under_the_rule_endodav():
    assert Window(1, "endodav").used_slots == range(2, 32)
    assert Window(1, "vda").used_slots == range(32)
    assert Window(0, "endodav").used_slots == range(32)
