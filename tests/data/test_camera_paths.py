"""Solved camera paths as a file, and clips that lie where a path leads."""

import dataclasses

import numpy as np
import pytest

from endodav_jax.data.camera_paths import LOST, CameraPaths
from endodav_jax.data.pipeline import ClipBatches
from endodav_jax.data.prepared import PreparedSplit, digest_of_split
from endodav_jax.errors import UserError
from tests.data.test_pipeline import SOURCE, config, folder  # noqa: F401

POINTS = 3


@pytest.fixture(scope="module")
def split(folder):  # noqa: F811
    return PreparedSplit.open(folder, "train")


def paths_through(split, lost=()) -> CameraPaths:
    count = sum(split.lengths)
    piece = np.repeat(np.arange(len(split.lengths)), split.lengths).astype(np.int32)
    piece[list(lost)] = LOST
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, 3] = 1e4 + np.arange(3 * count).reshape(-1, 3)
    poses[piece == LOST] = np.nan
    points = np.random.default_rng(0).uniform(1, 4, (count, POINTS, 4)).astype(np.float32)
    return CameraPaths(poses, piece, np.linspace(-2, -1, count), points, digest_of_split(split))


def test_a_file_holds_all_of_them(split, tmp_path):
    paths = paths_through(split, lost=[3])
    paths.save(tmp_path / "paths.npz")
    loaded = CameraPaths.load(tmp_path / "paths.npz", split)
    np.testing.assert_array_equal(loaded.cam_from_world, paths.cam_from_world)
    assert loaded.digest == paths.digest
    np.testing.assert_array_equal(loaded.points, paths.points)
    for changed in ({"log_depth": paths.log_depth + 1}, {"points": paths.points + 1}):
        assert dataclasses.replace(paths, **changed).digest != paths.digest


def test_stretches_end_where_the_camera_is_lost_and_where_a_world_does(split):
    paths = dataclasses.replace(paths_through(split), piece=np.array([0, 0, 0, LOST, 1, 1, 2, 2, 2]))
    assert paths.stretches() == [(0, 3), (4, 2), (6, 3)]


def test_clips_lie_within_stretches_and_carry_their_path(split, folder, tmp_path):  # noqa: F811
    lost = split.lengths[0] // 2
    paths = paths_through(split, lost=[lost])
    paths.save(tmp_path / "paths.npz")
    given = config(folder, camera_paths=str(tmp_path / "paths.npz"), mirror_probability=0.5, frame_max_interval=2)
    with ClipBatches(given, 0) as batches:
        assert batches.get_state()["camera_paths"] == paths.digest
        for _ in range(12):
            batch = next(batches)
            for clip in range(len(batch["sequence"])):
                records = split.offsets[batch["sequence"][clip]] + batch["frame_index"][clip] - SOURCE.first
                assert not {lost} & set(records.tolist())
                np.testing.assert_allclose(batch["path_log_depth"][clip], paths.log_depth[records], rtol=1e-6)
                shift = 3.0 * (records - records[0])
                sign = np.sign(batch["path_pose"][clip, -1, 0, 3])  # the mirrored world's x is the other way round
                expected = np.stack([sign * shift, shift, shift], -1)
                np.testing.assert_allclose(batch["path_pose"][clip, :, :3, 3], expected, atol=1e-3)
                points = paths.points[records]
                if sign < 0:
                    points = points * [-1, 1, 1, 1] + [batch["frames"].shape[3] - 1, 0, 0, 0]
                np.testing.assert_allclose(batch["path_points"][clip], points, rtol=1e-6)


def test_paths_through_other_frames_and_other_files_are_one_line(split, tmp_path):
    dataclasses.replace(paths_through(split), data="other").save(tmp_path / "paths.npz")
    with pytest.raises(UserError, match="solved for other frames"):
        CameraPaths.load(tmp_path / "paths.npz", split)
    paths_through(split).save(tmp_path / "paths.npz")
    whole = (tmp_path / "paths.npz").read_bytes()
    for damaged in (b"nothing", b"", whole[: len(whole) // 2]):
        (tmp_path / "paths.npz").write_bytes(damaged)
        with pytest.raises(UserError, match="no file of camera paths"):
            CameraPaths.load(tmp_path / "paths.npz", split)
