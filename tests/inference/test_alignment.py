"""Alignment of windows: the published results, its guard, its mask and its memory."""

import numpy as np
import pytest

from endodav_jax.inference.alignment import WindowAligner, fit_scale_shift
from endodav_jax.inference.recent_masks import KEPT, RecentMasks
from tests.golden_cases import relative_error
from tests.inference.test_windows import stitching_cases, windows_of


def align_all(rule: str, length: int, raw: np.ndarray, view_mask=None, mask_of=None):
    """Aligned frames [length, H, W] and the logs, all windows pushed."""
    aligner, frames, logs = WindowAligner(rule, view_mask, mask_of), {}, []
    for window, disparity in zip(windows_of(rule, length), raw, strict=True):
        if window.used_slots:
            log, finished = aligner.push(window, disparity)
            logs.append(log)
            frames |= dict(finished)
    assert list(frames) == list(range(length))
    return np.stack(list(frames.values())), logs


@pytest.mark.golden
def test_aligned_disparity_is_the_published_one(golden):
    cases = golden.arrays("stitching")
    for rule, length in stitching_cases(cases):
        aligned, _ = align_all(rule, length, cases[f"{rule}_{length}_raw"])
        assert aligned.dtype == np.float32
        # The published program solves its fit in float32.
        assert relative_error(aligned, cases[f"{rule}_{length}_aligned"]) < 1e-4, (rule, length)


@pytest.fixture
def video():
    """A smooth positive video [100, 5, 7]."""
    rng = np.random.default_rng(0)
    frames = rng.uniform(1, 3, (1, 5, 7)) + np.cumsum(rng.normal(0, 0.02, (100, 5, 7)), axis=0)
    return frames.astype(np.float32)


def raw_windows(rule: str, video: np.ndarray, affine) -> np.ndarray:
    """Windows of `video`, window w of them seen through `affine[w] = (scale, shift)`."""
    windows = windows_of(rule, len(video))
    return np.stack([video[list(w.frames)] * s + t for w, (s, t) in zip(windows, affine, strict=True)])


@pytest.mark.parametrize("rule", ["endodav", "vda"])
def test_scale_and_shift_of_windows_are_undone_and_reported(rule, video):
    affine = np.array([(1, 0), (2, 0.5), (0.25, -0.1), (3, 1), (0.9, 0.2)], np.float32)
    aligned, logs = align_all(rule, len(video), raw_windows(rule, video, affine))
    np.testing.assert_allclose(aligned, video, rtol=2e-6)
    for log, (scale, shift) in zip(logs, affine, strict=True):
        assert log.scale == pytest.approx(1 / scale, rel=1e-5)
        assert log.shift == pytest.approx(-shift / scale, abs=1e-5)
        assert not log.degenerate
    assert [(log.first_frame, log.last_frame) for log in logs] == [(0, 23), (24, 45), (46, 67), (68, 89), (90, 99)]


def test_without_alignment_every_frame_is_that_of_its_first_window(video):
    affine = np.array([(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)], np.float32)
    aligned, logs = align_all("none", len(video), raw_windows("none", video, affine))
    of_window = np.repeat([1, 2, 3, 4, 5], [32, 22, 22, 22, 2])
    np.testing.assert_array_equal(aligned, video * of_window[:, None, None].astype(np.float32))
    assert all((log.scale, log.shift) == (1, 0) for log in logs)


def test_negative_disparity_is_clipped(video):
    raw = raw_windows("endodav", video, [(1, 0)] * 5)
    raw[1, 15] = -5
    aligned, _ = align_all("endodav", len(video), raw)
    assert (aligned[22 + 15] == 0).all()


@pytest.mark.parametrize("rule", ["endodav", "vda"])
@pytest.mark.parametrize("value", [0.0, 0.1, np.nan])
def test_constant_disparity_keeps_scale_one_and_says_so(rule, value, video):
    raw = raw_windows(rule, video, [(1, 0)] * 5)
    raw[1, :10] = value
    _, logs = align_all(rule, len(video), raw)
    assert logs[1].degenerate
    assert (logs[1].scale, logs[1].shift) == (1, 0)
    assert not logs[0].degenerate


def test_pixels_outside_the_view_do_not_count(video):
    view_mask = np.ones(video.shape[1:], bool)
    view_mask[0] = False
    raw = raw_windows("endodav", video, [(1, 0), (2, 0.5), (1, 0), (1, 0), (1, 0)])
    raw[1, :, 0] = 1e3
    _, masked = align_all("endodav", len(video), raw, view_mask)
    _, unmasked = align_all("endodav", len(video), raw)
    assert masked[1].scale == pytest.approx(0.5, rel=1e-5)
    assert unmasked[1].scale != pytest.approx(0.5, rel=1e-2)


def test_fit_is_exact_where_float32_normal_equations_are_not():
    rng = np.random.default_rng(1)
    prediction = (100 + 0.01 * rng.standard_normal((8, 64, 64))).astype(np.float32)
    target = (prediction.astype(np.float64) * 2 - 150).astype(np.float32)
    scale, shift = fit_scale_shift(prediction, target)
    assert scale == pytest.approx(2, rel=1e-4)
    assert shift == pytest.approx(-150, rel=1e-4)


@pytest.mark.parametrize("masks", [None, [None] * 8, [np.ones((5, 7), bool)] * 8])
def test_a_view_without_a_pixel_has_no_fit(masks, video):
    nothing = np.zeros(video.shape[1:], bool)
    assert fit_scale_shift(video[:8], 2 * video[:8], nothing, masks) is None
    assert fit_scale_shift(video[:0], video[:0]) is None


@pytest.mark.parametrize("viewed", [False, True])
def test_masks_that_are_the_view_in_every_frame_are_the_view(viewed, video):
    rng = np.random.default_rng(2)
    target = (2 * video[:8] + rng.normal(0, 0.1, (8, 5, 7))).astype(np.float32)
    view = rng.uniform(size=(5, 7)) < 0.7
    by_view = fit_scale_shift(video[:8], target, view)
    assert fit_scale_shift(video[:8], target, view if viewed else None, [view] * 8) == by_view
    assert by_view != fit_scale_shift(video[:8], target)


def test_no_more_than_used_slots_are_read():
    class Recorder:
        def __init__(self):
            self.slots = set()

        def __getitem__(self, slot):
            self.slots.add(slot)
            return np.random.default_rng(slot).random((3, 4), np.float32)

    for rule in ("endodav", "vda", "none"):
        for length in range(1, 80):
            aligner = WindowAligner(rule)
            for window in windows_of(rule, length):
                if window.used_slots:
                    raw = Recorder()
                    list(aligner.push(window, raw)[1])
                    assert raw.slots <= set(window.used_slots), (rule, length, window.index)


@pytest.mark.parametrize("rule", ["endodav", "vda"])
@pytest.mark.parametrize("viewed", [False, True])
def test_what_masks_of_frames_leave_out_does_not_count_in_the_fits(rule, viewed, video):
    """An instrument that moves, whose disparity every window sees otherwise."""
    affine = np.array([(1, 0), (2, 0.5), (0.25, -0.1), (3, 1), (0.9, 0.2)], np.float32)
    masks = np.ones(video.shape, bool)
    for number, mask in enumerate(masks):
        mask[1:4, number % 5 : number % 5 + 3] = False
    raw = raw_windows(rule, video, affine)
    spoiled = raw.copy()
    rng = np.random.default_rng(1)
    for window, disparity in zip(windows_of(rule, len(video)), spoiled, strict=True):
        disparity[~masks[list(window.frames)]] = rng.uniform(0, 20)
    view = np.ones(video.shape[1:], bool)
    view[0] = False
    recent = RecentMasks()
    for mask in masks:
        recent.append(mask)
    aligned, logs = align_all(rule, len(video), spoiled, view if viewed else None, recent)
    np.testing.assert_allclose(aligned[masks], video[masks], rtol=1e-5)
    assert not any(log.degenerate for log in logs)
    without, _ = align_all(rule, len(video), spoiled)
    assert np.abs(without - video)[masks].max() > 0.1


def test_masks_that_leave_out_nothing_change_no_fit(video):
    affine = np.array([(1, 0), (2, 0.5), (0.25, -0.1), (3, 1), (0.9, 0.2)], np.float32)
    raw = raw_windows("endodav", video, affine)
    plain, _ = align_all("endodav", len(video), raw)
    np.testing.assert_array_equal(align_all("endodav", len(video), raw, mask_of=lambda number: None)[0], plain)
    whole = np.ones(video.shape[1:], bool)
    np.testing.assert_allclose(align_all("endodav", len(video), raw, mask_of=lambda number: whole)[0], plain, rtol=1e-6)
    nothing = np.zeros(video.shape[1:], bool)
    assert all(log.degenerate for log in align_all("endodav", len(video), raw, mask_of=lambda n: nothing)[1][1:])


def test_recent_masks_stay_few():
    recent = RecentMasks()
    for number in range(KEPT + 100):
        recent.append(np.full((3, 5), number % 2 == 0))
    assert len(recent._packed) == KEPT + 1
    assert recent(0).all()
    assert not recent(KEPT + 99).any()
    with pytest.raises(KeyError):
        recent(1)


@pytest.mark.parametrize("rule", ["endodav", "vda"])
def test_windows_of_metric_depth_are_blended_and_not_fitted(rule, video):
    windows = windows_of(rule, len(video))
    raw = raw_windows(rule, video, [(1, 0.1 * i) for i in range(len(windows))])
    aligner, frames = WindowAligner(rule, metric=True), {}
    for window, disparity in zip(windows, raw, strict=True):
        log, finished = aligner.push(window, disparity)
        assert (log.scale, log.shift, log.degenerate) == (1.0, 0.0, False)
        frames |= dict(finished)
    np.testing.assert_allclose(frames[35], video[35] + np.float32(0.1), rtol=1e-6)
    np.testing.assert_allclose(frames[24], video[24], rtol=1e-6)  # first of the overlap: the window before
