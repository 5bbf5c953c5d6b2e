"""Which windows there are, and how clips are drawn from them."""

import dataclasses

import numpy as np
import pytest

from endodav_jax.data.clips import DrawClip, blocks_of
from endodav_jax.data.config import DataConfig
from endodav_jax.errors import UserError

PLAIN = DataConfig(clip_length=4)


def draws(config: DataConfig, lengths: tuple[int, ...], times: int = 200) -> list:
    names = tuple(f"s{i}" for i in range(len(lengths)))
    blocks, _ = blocks_of(names, lengths, config)
    draw = DrawClip(config)
    return [
        draw.random_map(block, np.random.default_rng([number, repeat]))
        for number, block in enumerate(blocks)
        for repeat in range(times)
    ]


def test_every_start_of_every_sequence_belongs_to_exactly_one_block():
    lengths = (6, 7, 11, 23)
    blocks, notices = blocks_of(("a", "b", "c", "d"), lengths, PLAIN)
    starts = sorted(block.first + block.start + i for block in blocks for i in range(block.starts))
    first = np.cumsum([0, *lengths])
    assert starts == [f + i for f, length in zip(first, lengths, strict=False) for i in range(length - 5)]
    assert notices == ()


def test_clips_never_leave_their_sequence_and_reach_all_of_it():
    lengths = (6, 11, 23)
    ends = np.cumsum(lengths)
    clips = draws(PLAIN, lengths)
    for clip in clips:
        assert len(clip.records) == 6
        assert (np.diff(clip.records) == 1).all()
        assert len({int(np.searchsorted(ends, record, side="right")) for record in clip.records}) == 1
    assert {record for clip in clips for record in clip.records} == set(range(sum(lengths)))


def test_straddling_windows_are_those_of_the_published_loader():
    config = dataclasses.replace(PLAIN, straddle_sequences=True)
    lengths = (6, 11, 23)
    blocks, _ = blocks_of(("a", "b", "c"), lengths, config)
    # Its length: (N - T - 2 + 1 - 1 * T) // T windows, each beginning anywhere within its T frames.
    assert len(blocks) == (40 - 4 - 2 + 1 - 4) // 4
    clips = draws(config, lengths)
    assert any(clip.records[0] < 6 <= clip.records[-1] for clip in clips)
    assert {clip.records[0] for clip in clips} == set(range(4 * len(blocks)))


def test_one_interval_holds_for_a_clip_and_shrinks_where_it_does_not_fit():
    config = dataclasses.replace(PLAIN, frame_max_interval=3)
    clips = draws(config, (40,))
    intervals = [np.unique(np.diff(clip.records)).tolist() for clip in clips]
    assert sorted({interval[0] for interval in intervals}) == [1, 2, 3]
    assert all(len(interval) == 1 for interval in intervals)
    assert max(clip.records.max() for clip in clips) == 39
    short = draws(config, (9,))
    assert {int(np.diff(clip.records)[0]) for clip in short} == {1}


def test_short_sequences_are_named_in_one_line_and_skipped_or_refused():
    blocks, notices = blocks_of(("a", "b"), (5, 6), PLAIN)
    assert len(blocks) == 1
    assert blocks[0].first == 5
    assert notices == ("a: 5 frames, fewer than the 6 of a clip of 4 with its neighbours; skipped",)
    with pytest.raises(UserError, match="a: 5 frames, fewer than the 6"):
        blocks_of(("a", "b"), (5, 6), dataclasses.replace(PLAIN, short_sequences="error"))
    with pytest.raises(UserError, match="no sequence has the 6 frames"):
        blocks_of(("a",), (5,), PLAIN)


def test_augmentation_is_drawn_as_often_and_as_strong_as_configured():
    clips = draws(PLAIN, (23,), times=1000)
    jitter = np.array([clip.jitter for clip in clips])
    none = (jitter == np.float32([1, 1, 1, 0])).all(axis=1)
    assert abs(none.mean() - 0.5) < 0.03
    assert abs(np.mean([clip.mirror for clip in clips]) - 0.5) < 0.03
    spread = np.abs(jitter[~none] - [1, 1, 1, 0])
    assert (spread <= np.float32([0.2, 0.2, 0.2, 0.1]) + 1e-6).all()
    np.testing.assert_allclose(spread.mean(axis=0), [0.1, 0.1, 0.1, 0.05], rtol=0.05)
    orders = {tuple(clip.jitter_order.tolist()) for clip in clips}
    assert len(orders) == 24


def test_switching_one_augmentation_off_leaves_the_others_as_they_were():
    both = draws(PLAIN, (23,), times=20)
    mirrored_only = draws(dataclasses.replace(PLAIN, jitter_probability=0.0), (23,), times=20)
    for one, other in zip(both, mirrored_only, strict=True):
        np.testing.assert_array_equal(one.records, other.records)
        assert one.mirror == other.mirror
        np.testing.assert_array_equal(other.jitter, np.float32([1, 1, 1, 0]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"clip_length": 0}, "data.clip_length: 0 must be at least 1"),
        ({"hue": 0.7}, "data.hue"),
        ({"mirror_probability": 2.0}, "data.mirror_probability"),
        ({"workers": -1}, "data.workers"),
        ({"intrinsics": "guess"}, "data.intrinsics: 'guess' is not one of stored, guessed, constant"),
    ],
)
def test_contradictions_are_refused_when_the_configuration_is_built(fields, message):
    with pytest.raises(ValueError, match=message):
        DataConfig(**fields)
