"""The camera's path where depth is true: it is found, from poor starts too, and what cannot be tracked is named."""

import dataclasses

import cv2
import numpy as np
import pytest

from endodav_jax.errors import UserError
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.reconstruction.clip import DepthView, track_clip
from endodav_jax.reconstruction.measures import path_errors
from endodav_jax.reconstruction.tracker import TrackingRules
from tests.bumpy_wall import INTRINSICS, SIZE, look, pose, stroll

FRAMES = 24


def seen(poses, start: int = 0) -> list[DepthView]:
    inside = np.ones(SIZE, bool)
    return [DepthView(start + n, *look(p), inside) for n, p in enumerate(poses)]


@pytest.fixture(scope="module")
def poses():
    return stroll(FRAMES)


@pytest.fixture(scope="module")
def views(poses):
    return seen(poses)


def track(views, **settings):
    return track_clip(lambda: iter(views), INTRINSICS, **settings)


def places(poses):
    return inverse_rigid(np.stack(poses))[:, :3, 3]


@pytest.fixture(scope="module")
def path(views):
    return track(views)


def test_a_camera_before_a_wall_is_followed_to_a_part_in_two_hundred(path, poses):
    assert path.pieces == [0]
    assert not path.lost()
    errors = path_errors(path.world_from_cam(0)[:, :3, 3], places(poses), free_scale=False)
    assert errors.share < 0.005
    assert errors.scale_drift < 0.02


def test_rotations_are_found_too(path, poses):
    for frame, true in zip(path.frames, poses, strict=True):
        wanted = true @ inverse_rigid(poses[0])
        assert np.linalg.norm(frame.cam_from_world[:3, :3] - wanted[:3, :3]) < 5e-3


def test_a_guess_that_knows_no_turn_and_points_astray_does_no_harm(views, poses):
    wrong = np.eye(4)
    wrong[:3, 3] = (4.0, -3.0, 2.0)
    found = track(views, motions=[wrong] * (FRAMES - 1))
    errors = path_errors(found.world_from_cam(0)[:, :3, 3], places(poses), free_scale=False)
    assert errors.share < 0.005


def test_a_turn_of_five_degrees_between_frames_is_followed():
    fast = [pose(turn=(0, 0.087 * n, 0), x=n) for n in range(3)]
    found = track(seen(fast))
    assert not found.lost()
    assert np.linalg.norm(found.frames[2].cam_from_world - fast[2] @ inverse_rigid(fast[0])) < 0.2


def test_depth_that_flickers_in_scale_is_brought_to_one(views, poses):
    factors = 1 + 0.03 * np.sin(np.arange(FRAMES) * 2.1)
    factors[0] = 1
    flickering = [
        dataclasses.replace(view, depth=(view.depth * f).astype(np.float32))
        for view, f in zip(views, factors, strict=True)
    ]
    found = track(flickering, rules=TrackingRules(scale_sigma=0.1))
    scales = np.array([frame.scale for frame in found.frames])
    assert np.abs(scales * factors - 1).max() < 0.01


def test_depth_whose_scale_drifts_far_is_followed(views, poses):
    drifting = [
        dataclasses.replace(view, depth=(view.depth * 0.975**n).astype(np.float32)) for n, view in enumerate(views)
    ]
    found = track(drifting, rules=TrackingRules(scale_sigma=0.05))
    assert found.pieces == [0]
    assert not found.lost()


def test_depth_that_changes_shape_at_once_does_not_lose_what_the_eye_sees(views, poses):
    bend = np.where((np.arange(SIZE[1]) // 12) % 2, 0.7, 1.4)
    bent = [*views[:12], *(dataclasses.replace(v, depth=(v.depth * bend).astype(np.float32)) for v in views[12:])]
    found = track(bent)
    assert not found.lost()
    assert found.pieces == [0]


def test_a_smeared_frame_is_named_and_the_path_goes_on(views, poses):
    smeared = list(views)
    smeared[10] = dataclasses.replace(views[10], rgb=cv2.GaussianBlur(views[10].rgb, (0, 0), 12))
    found = track(smeared)
    assert [frame.index for frame in found.lost()] == [10]
    assert "shows almost nothing" in found.frames[10].reason
    assert found.pieces == [0]


def test_a_jump_elsewhere_starts_a_new_piece_instead_of_a_motion(views):
    elsewhere = seen([pose(x=300 + n, y=200) for n in range(10)], start=len(views))
    found = track([*views, *elsewhere])
    assert found.pieces == [0, 1]
    assert [frame.index for frame in found.lost()] == list(range(FRAMES, FRAMES + 4))
    assert all(frame.reason for frame in found.lost())
    first = found.of_piece(1)[0]
    np.testing.assert_array_equal(first.cam_from_world, np.eye(4))


def test_parallax_tells_a_turning_camera_from_one_that_moves(path):
    turning = track(seen([pose(turn=(0.004 * n, 0.006 * n, 0)) for n in range(12)]))
    assert turning.parallax < 0.5
    assert path.parallax > 1.5


def test_parallax_is_not_known_where_no_two_frames_were_tracked(views):
    assert np.isnan(track([views[0], dataclasses.replace(views[1], depth=0 * views[1].depth)]).parallax)


def test_a_single_frame_is_one_line(views):
    with pytest.raises(UserError, match="has 1 frame; a camera's path needs at least two"):
        track(views[:1])
