"""The photometric test tells how poses must be read."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from endodav_jax.data.checks import check_pose_direction
from endodav_jax.data.sources.frames import FramesSource
from endodav_jax.geometry.poses import inverse_rigid
from tests.data.scene import render_truth

SINUS = Path(__file__).parents[3] / "shared/data/sinus"


@pytest.fixture(scope="module")
def frames():
    return render_truth(12, 96, 128)[::3]


def with_poses(frames, change):
    return [dataclasses.replace(frame, cam_from_world=change(frame.cam_from_world)) for frame in frames]


def test_poses_read_the_right_way_explain_the_pictures(frames):
    result = check_pose_direction(frames)
    assert result.verdict == "cam_from_world"
    assert result.cam_from_world < 0.2 * result.world_from_cam
    assert result.cam_from_world < 0.2 * result.still
    assert result.pairs == 3


def test_inverted_poses_are_found_out(frames):
    result = check_pose_direction(with_poses(frames, inverse_rigid))
    assert result.verdict == "world_from_cam"
    assert result.world_from_cam < 0.2 * result.cam_from_world


def test_translations_of_another_unit_explain_nothing(frames):
    def in_metres_taken_as_mm(pose):
        scaled = pose.copy()
        scaled[:3, 3] *= -8
        return scaled

    assert check_pose_direction(with_poses(frames, in_metres_taken_as_mm)).verdict != "cam_from_world"


def test_exposure_and_invalid_depth_do_not_count(frames):
    changed = []
    for k, frame in enumerate(frames):
        depth = frame.depth_mm.copy()
        depth[:, : 20 + k] = 0
        brighter = np.clip(frame.frame.astype(int) + 6 * (k % 2), 0, 255).astype(np.uint8)
        changed.append(dataclasses.replace(frame, depth_mm=depth, frame=brighter))
    assert check_pose_direction(changed).verdict == "cam_from_world"


def test_sparse_points_are_enough(frames):
    sparse = []
    for frame in frames:
        depth = np.zeros_like(frame.depth_mm)
        depth[::6, ::6] = frame.depth_mm[::6, ::6]
        sparse.append(dataclasses.replace(frame, depth_mm=depth))
    assert check_pose_direction(sparse).verdict == "cam_from_world"


@pytest.mark.skipif(not SINUS.is_dir(), reason="no shared/data/sinus beside the repository")
def test_a_real_reconstruction_is_recognised_either_way():
    real = list(FramesSource(SINUS).read("sinus"))[::6]
    assert check_pose_direction(real).verdict == "cam_from_world"
    assert check_pose_direction(with_poses(real, inverse_rigid)).verdict == "world_from_cam"


def test_a_camera_that_stands_still_gives_no_verdict(frames):
    assert check_pose_direction([frames[0]] * 3).verdict == "too little motion"
    without = [dataclasses.replace(frame, cam_from_world=None) for frame in frames]
    assert check_pose_direction(without).verdict == "too little motion"
    assert check_pose_direction(without).pairs == 0
