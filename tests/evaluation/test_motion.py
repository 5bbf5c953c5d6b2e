"""Camera motion: the order of frames and of products, the scale, the file."""

import itertools

import numpy as np
import pytest

from endodav_jax.data.sources.trajectories import read_trajectory
from endodav_jax.evaluation.motion import score_motion, write_tum
from endodav_jax.geometry.poses import inverse_rigid
from tests.evaluation.plane_videos import INTRINSICS, PlaneVideos, pose_of

LENGTH = 9
VIDEOS = PlaneVideos({"a": LENGTH})
WORLD_FROM_CAM = np.stack([inverse_rigid(pose_of(number)) for number in range(LENGTH)])


def perfect(scale: float, intrinsics=None):
    """A pose network that sees the truth, in a unit of its own: later_from_earlier for each frame but the first."""

    def motions(frames):
        poses = [frame.cam_from_world for frame in frames] or [None]
        if poses[0] is None:
            poses = [pose_of(number) for number in range(LENGTH)]
        for earlier, later in itertools.pairwise(poses):
            motion = later @ inverse_rigid(earlier)
            motion[:3, 3] *= scale
            yield motion, intrinsics

    return motions


def test_true_motion_in_another_unit_has_no_error_and_lies_on_the_true_trajectory():
    scores = score_motion(perfect(0.01), VIDEOS.frames("a"))
    assert scores.means()["ate"] < 1e-9
    assert scores.means()["rotation_error"] < 1e-9
    np.testing.assert_allclose(scores.world_from_cam, WORLD_FROM_CAM, atol=1e-9)
    np.testing.assert_allclose(scores.truth_world_from_cam, WORLD_FROM_CAM, atol=1e-9)


def test_motion_the_wrong_way_round_has_errors():
    def backwards(frames):
        for motion, nothing in perfect(1.0)(frames):
            yield inverse_rigid(motion), nothing

    means = score_motion(backwards, VIDEOS.frames("a")).means()
    assert means["ate"] > 0.01
    assert means["rotation_error"] > 0.01


def test_without_true_poses_the_trajectory_starts_at_the_origin_and_has_no_errors():
    scores = score_motion(perfect(1.0), PlaneVideos({"a": LENGTH}, poses=False).frames("a"))
    assert scores.means() == {}
    assert scores.truth_world_from_cam is None
    np.testing.assert_allclose(scores.world_from_cam, WORLD_FROM_CAM, atol=1e-9)  # whose first pose is the identity


def test_intrinsics_are_averaged_and_one_frame_has_no_motion():
    scores = score_motion(perfect(1.0, INTRINSICS), VIDEOS.frames("a"))
    np.testing.assert_allclose(scores.intrinsics, INTRINSICS)
    assert score_motion(perfect(1.0), VIDEOS.frames("a", 1)) is None


def test_a_written_trajectory_reads_back(tmp_path):
    half_turn = np.diag([-1.0, -1.0, 1.0, 1.0])  # where the quaternion's w is 0
    poses = np.concatenate([WORLD_FROM_CAM, half_turn[None]])
    write_tum(tmp_path / "a.txt", poses, range(3, 4 + LENGTH))
    read = read_trajectory(tmp_path / "a.txt", list(range(3, 4 + LENGTH)))
    np.testing.assert_allclose(read, poses, atol=1e-7)
    assert (tmp_path / "a.txt").read_text().splitlines()[1].startswith("3 ")


@pytest.mark.slow
def test_a_pose_network_sees_the_later_frame_first_as_in_training():
    from flax import nnx

    from endodav_jax.evaluation.motion import MotionEstimator
    from endodav_jax.geometry.rigid import rigid_from_axis_angle
    from endodav_jax.models.layers import Numerics
    from endodav_jax.models.pose import IntrinsicsHead, PoseNet

    pose = PoseNet(nnx.Rngs(0), layers=10, numerics=Numerics.of("float32"))
    head = IntrinsicsHead(nnx.Rngs(1), layers=10)
    params = {name: nnx.to_pure_dict(nnx.split(net)[1]) for name, net in (("pose", pose), ("intrinsics", head))}
    frames = list(VIDEOS.frames("a", 2))
    ((motion, intrinsics),) = MotionEstimator(params)(iter(frames))
    earlier, later = (frame.frame[None].astype(np.float32) / 255 for frame in frames)
    seen = pose(later, earlier, train=False)
    np.testing.assert_allclose(motion, rigid_from_axis_angle(seen.axis_angle, seen.translation)[0], atol=1e-6)
    np.testing.assert_allclose(intrinsics, head(seen.features, *later.shape[1:3])[0], rtol=1e-5)
