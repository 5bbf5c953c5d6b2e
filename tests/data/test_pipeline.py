"""From prepared files to batches: values, order, sharing among processes, resuming."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from endodav_jax.data.builders.staging import StoredAs
from endodav_jax.data.config import DataConfig
from endodav_jax.data.contract import check_batch
from endodav_jax.data.pipeline import ClipBatches
from endodav_jax.data.signal import Signal
from endodav_jax.errors import UserError
from tests.data.tiny_source import TinySource, prepare_tiny

LENGTHS = {"a": 6, "b": 17, "short": 3, "c": 11}
SOURCE = TinySource(LENGTHS, first=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return prepare_tiny(tmp_path_factory.mktemp("prepared"), SOURCE)


def config(folder: Path, **fields) -> DataConfig:
    return DataConfig(path=str(folder), clip_length=4, batch_size=2, threads=2, **fields)


def take(batches: ClipBatches, count: int) -> list[dict]:
    with batches:
        return [next(batches) for _ in range(count)]


def assert_same(found: list[dict], expected: list[dict]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def is_mirrored(batch: dict, clip: int) -> bool:
    return bool(batch["intrinsics"][clip, 2] != np.float32(7.3))


def test_batches_are_the_source_s_frames_mirrored_with_their_camera(folder):
    batches = take(ClipBatches(config(folder, ground_truth=True), seed=1), 12)
    mirrored = 0
    for batch in batches:
        check_batch(batch, ranges=True)
        for clip in range(2):
            sequence = list(LENGTHS)[batch["sequence"][clip]]
            truth = [SOURCE.frame(sequence, int(i)) for i in batch["frame_index"][clip]]
            flip = is_mirrored(batch, clip)
            mirrored += flip
            turn = (lambda image: image[:, ::-1]) if flip else (lambda image: image)
            sign = np.diag([-1.0, 1, 1, 1]) if flip else np.eye(4)
            for i, frame in enumerate(truth):
                np.testing.assert_array_equal(batch["frames"][clip, i], turn(frame.frame))
                np.testing.assert_array_equal(batch["depth_mm"][clip, i], turn(frame.depth_mm))
                np.testing.assert_allclose(
                    batch["cam_from_world"][clip, i], sign @ frame.cam_from_world @ sign, rtol=1e-6
                )
            np.testing.assert_array_equal(batch["view_mask"][clip], turn(truth[0].view_mask))
            cx = 16 - 1 - 7.3 if flip else 7.3
            np.testing.assert_allclose(batch["intrinsics"][clip], [20.1, 21.2, cx, 6.4], rtol=1e-6)
    assert 4 <= mirrored <= 20


def test_a_point_projects_to_the_mirrored_pixel_of_a_mirrored_clip(folder):
    """Depth, pose and intrinsics of a mirrored clip describe one world: neighbours' pixels stay matched."""
    batches = take(ClipBatches(config(folder, ground_truth=True, mirror_probability=1.0), seed=0), 1)
    batch = batches[0]
    sequence = list(LENGTHS)[batch["sequence"][0]]
    one, two = (SOURCE.frame(sequence, int(i)) for i in batch["frame_index"][0, :2])

    def project(pose_a, pose_b, intrinsics, column, row, depth):
        fx, fy, cx, cy = np.asarray(intrinsics, np.float64)
        point = np.array([(column - cx) / fx * depth, (row - cy) / fy * depth, depth, 1.0])
        x, y, z, _ = np.asarray(pose_b, np.float64) @ np.linalg.inv(np.asarray(pose_a, np.float64)) @ point
        return fx * x / z + cx, fy * y / z + cy

    column, row, depth = 3.0, 5.0, 50.0
    u, v = project(one.cam_from_world, two.cam_from_world, one.intrinsics, column, row, depth)
    poses = batch["cam_from_world"][0]
    u_mirrored, v_mirrored = project(poses[0], poses[1], batch["intrinsics"][0], 15 - column, row, depth)
    np.testing.assert_allclose((u_mirrored, v_mirrored), (15 - u, v), rtol=1e-4)


def test_the_constant_camera_is_the_published_one_also_in_mirrored_clips(folder):
    for batch in take(ClipBatches(config(folder, intrinsics="constant"), seed=0), 3):
        np.testing.assert_allclose(batch["intrinsics"], np.tile([0.82 * 16, 1.02 * 12, 8, 6], (2, 1)), rtol=1e-6)


def test_an_epoch_visits_every_block_once_and_the_next_in_another_order(folder):
    batches = ClipBatches(config(folder), seed=3)
    # 6, 17 and 11 frames have 1, 12 and 6 starts: blocks of four of them.
    assert batches.clips_per_epoch == 1 + 3 + 2
    assert batches.batches_per_epoch == 3
    assert batches.notices == ("short: 3 frames, fewer than the 6 of a clip of 4 with its neighbours; skipped",)
    epochs = np.array([batch["sequence"] for batch in take(batches, 9)]).reshape(3, 6)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == [0, 1, 1, 1, 3, 3]
    assert len({tuple(epoch.tolist()) for epoch in epochs}) > 1


def test_threads_do_not_change_a_batch(folder):
    base = config(folder)
    expected = take(ClipBatches(dataclasses.replace(base, threads=1, prefetch=1), seed=5), 8)
    assert_same(take(ClipBatches(dataclasses.replace(base, threads=8), seed=5), 8), expected)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_clips_are_the_same_in_batches_of_any_size(folder, batch_size):
    base = config(folder)
    pairs = take(ClipBatches(base, seed=5), 6)
    other = take(ClipBatches(dataclasses.replace(base, batch_size=batch_size), seed=5), 12 // batch_size)
    for key in pairs[0]:
        np.testing.assert_array_equal(
            np.concatenate([batch[key] for batch in other]), np.concatenate([batch[key] for batch in pairs])
        )


def test_another_seed_gives_other_clips(folder):
    one, other = (take(ClipBatches(config(folder), seed=seed), 6) for seed in (0, 1))
    assert any((a["frame_index"] != b["frame_index"]).any() for a, b in zip(one, other, strict=True))


def test_processes_share_out_the_same_global_batches(folder):
    whole = take(ClipBatches(config(folder), seed=5), 8)
    shares = [take(ClipBatches(config(folder), seed=5, process=i, processes=2), 8) for i in range(2)]
    together = [
        {key: np.concatenate([one[key], other[key]]) for key in one} for one, other in zip(*shares, strict=True)
    ]
    assert_same(together, whole)
    with pytest.raises(UserError, match=r"data\.batch_size: 2 does not divide among 3"):
        ClipBatches(config(folder), seed=5, process=0, processes=3)


def test_a_restored_position_gives_the_batches_that_would_have_come(folder):
    straight = take(ClipBatches(config(folder), seed=7), 10)
    with ClipBatches(config(folder), seed=7) as first:
        for _ in range(4):
            next(first)
        saved = json.loads(json.dumps(first.get_state()))
        ahead = [next(first) for _ in range(3)]
    assert_same(ahead, straight[4:7])
    with ClipBatches(dataclasses.replace(config(folder), threads=1), seed=7) as second:
        second.set_state(saved)
        assert_same([next(second) for _ in range(6)], straight[4:])
        second.set_state(saved)
        assert_same([next(second)], straight[4:5])


def test_a_position_of_other_data_is_refused(folder):
    state = ClipBatches(config(folder), seed=7).get_state()
    with pytest.raises(UserError, match=r"data\.seed: 8 here, 7 in the saved run"):
        ClipBatches(config(folder), seed=8).set_state(state)


def test_windows_may_straddle_sequences_when_asked(folder):
    batches = take(ClipBatches(config(folder, straddle_sequences=True), seed=0), 20)
    jumps = [np.diff(row) for batch in batches for row in batch["frame_index"]]
    assert any((jump != 1).any() for jump in jumps)
    plain = take(ClipBatches(config(folder), seed=0), 20)
    assert all((np.diff(batch["frame_index"]) == 1).all() for batch in plain)


def test_ground_truth_that_is_unknown_is_zero_depth_and_nan_poses(tmp_path):
    folder = prepare_tiny(tmp_path, TinySource({"a": 8}, depth=False))
    batch = take(ClipBatches(config(folder, ground_truth=True), seed=0), 1)[0]
    assert not batch["depth_mm"].any()
    assert np.isnan(batch["cam_from_world"]).all()


def test_frames_of_several_sizes_are_refused_with_the_cure(tmp_path):
    class TwoSizes(TinySource):
        def frame(self, sequence, index):
            shape = (12, 16) if index < 4 else (8, 16)
            return dataclasses.replace(super().frame(sequence, index), frame=np.zeros((*shape, 3), np.uint8),
                                       depth_mm=None, view_mask=None)  # fmt: skip

    class SizeOfSequence(TinySource):
        def frame(self, sequence, index):
            shape = (12, 16) if sequence == "a" else (8, 16)
            return dataclasses.replace(super().frame(sequence, index), frame=np.zeros((*shape, 3), np.uint8),
                                       depth_mm=None, view_mask=None)  # fmt: skip

    folder = prepare_tiny(tmp_path / "full", TwoSizes({"a": 6}))
    with pytest.raises(UserError, match="prepare the data set with --size"):
        take(ClipBatches(config(folder), seed=0), 1)
    with pytest.raises(UserError, match="b has another frame size than others"):
        ClipBatches(config(prepare_tiny(tmp_path / "two", SizeOfSequence({"a": 6, "b": 6}))), seed=0)
    sized = prepare_tiny(tmp_path / "sized", TwoSizes({"a": 6}), stored=StoredAs((8, 8), "fast"))
    assert take(ClipBatches(config(sized), seed=0), 1)[0]["frames"].shape == (2, 6, 8, 8, 3)


def test_a_missing_folder_is_one_line():
    with pytest.raises(UserError, match="no such folder; make it with `endodav prepare`"):
        ClipBatches(DataConfig(path="/nowhere/at/all"), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_change_nothing_and_resume_alike(folder, workers):
    expected = take(ClipBatches(config(folder), seed=5), 8)
    parallel = config(folder, workers=workers)
    with ClipBatches(parallel, seed=5) as batches:
        assert_same([next(batches) for _ in range(5)], expected[:5])
        saved = batches.get_state()
    with ClipBatches(parallel, seed=5) as batches:
        batches.set_state(saved)
        assert_same([next(batches) for _ in range(3)], expected[5:])


def signal(parallax: float) -> Signal:
    return Signal({1: parallax, 2: 2 * parallax}, {1: 1.0, 2: 1.0}, {}, 0.0, 0.0, 0.0, interval=2)


def test_auto_takes_the_interval_that_is_recommended(folder):
    batches = ClipBatches(config(folder, frame_interval="auto", frame_max_interval=7), seed=1, signal=signal(0.6))
    steps = {int(step) for batch in take(batches, 20) for step in np.diff(batch["frame_index"][:, :-2]).ravel()}
    assert (batches.config.frame_max_interval, steps) == (2, {1, 2})


def test_auto_is_refused_where_the_camera_does_not_travel(folder):
    with pytest.raises(UserError, match=r"^data\.frame_interval: auto: .*unless the camera travels; set it to drawn$"):
        ClipBatches(config(folder, frame_interval="auto"), seed=1, signal=signal(0.01))


def test_an_interval_that_no_sequence_is_long_enough_for_is_said(folder):
    with ClipBatches(config(folder, frame_max_interval=3), seed=1) as batches:
        assert not any("interval" in notice for notice in batches.notices)
    with ClipBatches(config(folder, frame_max_interval=4), seed=1) as batches:
        assert "frames 4 apart: no sequence is long enough" in batches.notices[-1]
        assert "up to 3" in batches.notices[-1]


def test_auto_measures_the_split_if_its_signal_is_not_known(folder):
    with pytest.raises(UserError, match=r"^data\.frame_interval: auto: parallax not measurable"):
        ClipBatches(config(folder, frame_interval="auto"), seed=1)
