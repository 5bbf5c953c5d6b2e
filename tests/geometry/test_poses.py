"""Rigid motions on the host: inverses, quaternions, and what counts as rigid."""

import numpy as np

from endodav_jax.geometry.poses import inverse_rigid, is_rigid, rigid, rotation_from_quaternion


def test_inverses_and_what_is_rigid():
    random = np.random.default_rng(0)
    poses = rigid(rotation_from_quaternion(random.normal(size=(5, 4))), random.normal(size=(5, 3)))
    np.testing.assert_allclose(poses @ inverse_rigid(poses), np.broadcast_to(np.eye(4), (5, 4, 4)), atol=1e-12)
    assert all(is_rigid(pose) for pose in poses)
    assert not is_rigid(poses[0] * 2)
    assert not is_rigid(np.diag([1.0, 1, -1, 1]))  # mirrored
    assert not is_rigid(poses[0][:3])


def test_quaternions_are_x_y_z_w():
    quarter = rotation_from_quaternion(np.array([0, 0, 2.0, 2.0]))  # about z, of any norm
    np.testing.assert_allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-12)
