"""The camera solved for whole videos before training: its scale is the depth's, and what batches carry of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.checkpoints import load_model
from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.config import Config
from endodav_jax.data.camera_paths import LOST, CameraPaths
from endodav_jax.data.config import DataConfig
from endodav_jax.data.prepared import PreparedSplit, digest_of_split
from endodav_jax.geometry.rigid import rigid_from_axis_angle
from endodav_jax.reconstruction.paths import origin_of
from endodav_jax.training.cameras import CAMERAS, objectives_of
from endodav_jax.training.config import TrainConfig
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.path_camera import PATH_CAMERA, PATHS_FILE, path_camera, solved_paths
from endodav_jax.training.step import PUBLISHED
from tests.data.tiny_source import TinySource, prepare_tiny

SHAPE, LENGTH = (8, 12), 3
CONFIG = ObjectiveConfig(camera="path", learn_intrinsics=False)


@pytest.fixture(scope="module")
def scene():
    """A batch of one clip whose path has the unit of its depth, that depth [T,H,W], and the poses [T+2,4,4]."""
    rng = np.random.default_rng(0)
    turns, shifts = rng.normal(0, 0.1, (LENGTH + 2, 3)), rng.normal(0, 2, (LENGTH + 2, 3))
    poses = rigid_from_axis_angle(jnp.asarray(turns, jnp.float32), jnp.asarray(shifts, jnp.float32))
    depth = jnp.asarray(rng.uniform(20, 60, (LENGTH, *SHAPE)), jnp.float32)
    levels = np.log(np.asarray(depth)).mean((1, 2))
    batch = {
        "frames": jnp.zeros((1, LENGTH + 2, *SHAPE, 3)),
        "view_mask": jnp.ones((1, *SHAPE), bool),
        "intrinsics": jnp.array([[9.0, 9.0, 5.5, 3.5]]),
        "path_pose": poses[None],
        "path_log_depth": jnp.asarray([[9.0, *levels, 9.0]], jnp.float32),
    }
    return batch, depth, np.asarray(poses, np.float64)


def camera(batch, depth):
    return path_camera(None, None, batch, depth, CONFIG)


def test_it_moves_between_neighbours_as_the_path_does(scene):
    batch, depth, poses = scene
    motion, intrinsics = camera(batch, depth)
    for number in range(LENGTH):
        for side, neighbour in enumerate((number, number + 2)):
            expected = poses[neighbour] @ np.linalg.inv(poses[number + 1])
            np.testing.assert_allclose(motion[side, number], expected, atol=1e-4)
    np.testing.assert_array_equal(intrinsics, np.repeat(batch["intrinsics"], LENGTH, 0))


def test_its_shifts_grow_with_the_depth_of_the_clip_and_not_of_a_frame(scene):
    batch, depth, _ = scene
    at_once = camera(batch, depth)[0]
    np.testing.assert_allclose(camera(batch, 3 * depth)[0][..., :3, 3], 3 * at_once[..., :3, 3], rtol=1e-4, atol=1e-4)
    one_deeper = camera(batch, depth.at[0].multiply(8.0))[0]
    np.testing.assert_allclose(one_deeper[..., :3, 3], 2 * at_once[..., :3, 3], rtol=1e-4, atol=1e-4)
    _, slope = jax.value_and_grad(lambda scale: camera(batch, scale * depth)[0][0, 0, 0, 3])(1.0)
    np.testing.assert_allclose(slope, at_once[0, 0, 0, 3], rtol=1e-3)


def test_what_lies_outside_of_the_view_says_nothing_of_the_scale(scene):
    batch, depth, _ = scene
    left = jnp.arange(SHAPE[1]) < 6
    inside = batch | {"view_mask": batch["view_mask"] & left, "path_log_depth": jnp.zeros((1, LENGTH + 2))}
    bent = jnp.where(left, depth, 1e6)
    np.testing.assert_allclose(camera(inside, bent)[0], camera(inside, depth)[0], rtol=1e-5)


def test_what_masks_of_frames_exclude_says_nothing_of_the_scale(scene):
    batch, depth, _ = scene
    kept = jnp.ones((1, LENGTH + 2, *SHAPE), bool).at[:, 2, :, 6:].set(False)
    level = np.log(np.asarray(depth[1, :, :6])).mean()
    masked = batch | {"frame_mask": kept, "path_log_depth": batch["path_log_depth"].at[0, 2].set(level)}
    near = depth.at[1, :, 6:].set(1e-3)  # an instrument
    np.testing.assert_allclose(camera(masked, near)[0], camera(batch, depth)[0], rtol=1e-4, atol=1e-4)


def test_the_configuration_chooses_it_where_the_camera_is_not_given():
    assert objectives_of(CONFIG, PUBLISHED).depth is PATH_CAMERA.depth
    assert objectives_of(CONFIG, CAMERAS["flow"]) is CAMERAS["flow"]
    with pytest.raises(ValueError, match="learn_intrinsics=False"):
        ObjectiveConfig(camera="path")
    with pytest.raises(ValueError, match="set camera='path'"):
        ObjectiveConfig(points_weight=1.0)


class OtherCamera(TinySource):
    def frame(self, sequence, index):
        return dataclasses.replace(super().frame(sequence, index), intrinsics=np.array([10.0, 10.0, 8.0, 6.0]))


def config_of(folder, source) -> Config:
    """A run with the shipped weights on a tiny data set made of a source."""
    train = TrainConfig(objective=dataclasses.replace(CONFIG, points_weight=1.0))
    return Config(weights=SHIPPED, data=DataConfig(path=str(prepare_tiny(folder, source))), train=train)


@pytest.fixture
def solved(monkeypatch):
    """The calls of a quick `solve_paths`, as they are made."""
    calls: list[tuple] = []

    def solve(*given):
        calls.append(given)
        split, count = given[0], sum(given[0].lengths)
        points = np.full((count, 1, 4), 20, np.float32)
        poses, piece = np.tile(np.eye(4), (count, 1, 1)), np.zeros(count, np.int32)
        return CameraPaths(poses, piece, np.zeros(count), points, digest_of_split(split), origin_of(*given))

    monkeypatch.setattr("endodav_jax.training.path_camera.solve_paths", solve)
    return calls


def test_a_path_is_solved_once_and_again_where_it_would_be_another(tmp_path, solved, capsys):
    config = config_of(tmp_path / "data", TinySource({"a": 6}))
    narrow = dataclasses.replace(config.model, image_shape=(28, 42))
    others = (
        dataclasses.replace(config, weights="shipped-organ"),
        dataclasses.replace(config, model=narrow),
        config_of(tmp_path / "other", OtherCamera({"a": 6})),
    )
    for _ in range(2):
        solved_paths(config, tmp_path)
    assert len(solved) == 1
    assert capsys.readouterr().err == ""
    for number, other in enumerate(others):
        for _ in range(2):
            solved_paths(other, tmp_path)
        assert len(solved) == number + 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(
            "solved from other weights, frames or image shape, or by an older version; solving it anew"
        )


def test_a_path_that_does_not_say_what_it_was_solved_from_is_solved_anew(tmp_path, solved):
    config = config_of(tmp_path / "data", TinySource({"a": 6}))
    file = solved_paths(config, tmp_path)
    with np.load(file) as arrays:
        np.savez(file, **{name: array for name, array in arrays.items() if name != "origin"})
    assert CameraPaths.read(file).origin == ""
    solved_paths(config, tmp_path)
    assert len(solved) == 2
    assert CameraPaths.read(file).origin != ""


def test_how_many_frames_have_a_camera_and_points_is_said(tmp_path, capsys):
    config = config_of(tmp_path / "data", TinySource({"a": 6}))
    split = PreparedSplit.open(config.data.path, config.data.split)
    model, params, _ = load_model(SHIPPED)
    origin = origin_of(split, model, params["depth"], config.model.image_shape)
    piece = np.array([0, 0, 0, 0, 0, LOST], np.int32)
    points = np.zeros((6, 2, 4), np.float32)
    for sure, warned in ((20.0, False), (0.0, True)):
        points[2, 0, 3] = sure
        paths = CameraPaths(np.tile(np.eye(4), (6, 1, 1)), piece, np.zeros(6), points, digest_of_split(split), origin)
        paths.save(tmp_path / PATHS_FILE)
        assert solved_paths(config, tmp_path) == str(tmp_path / PATHS_FILE)
        said = capsys.readouterr()
        assert f"known in 5 of 6 frames; points of reliable depth in {int(not warned)}" in said.out
        assert ("points_weight changes nothing" in said.err) == warned
