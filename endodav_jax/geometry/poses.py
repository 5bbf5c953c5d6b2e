"""Rigid motions on the host, float64 [..., 4, 4]: made, turned round and checked (`rigid.py` has JAX's)."""

import numpy as np


def rigid(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Returns [..., 4, 4] from rotations [..., 3, 3] and translations [..., 3]."""
    pose = np.zeros((*rotation.shape[:-2], 4, 4), np.float64)
    pose[..., :3, :3] = rotation
    pose[..., :3, 3] = translation
    pose[..., 3, 3] = 1
    return pose


def inverse_rigid(pose: np.ndarray) -> np.ndarray:
    """Returns the inverse of rigid motions, float64 [..., 4, 4], by transposing the rotation."""
    rotation = np.swapaxes(pose[..., :3, :3], -1, -2)
    inverse = np.zeros_like(pose)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -(rotation @ pose[..., :3, 3:])[..., 0]
    inverse[..., 3, 3] = 1
    return inverse


def rotation_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """Returns rotation matrices [..., 3, 3] of quaternions [..., 4] in the order x, y, z, w, of any nonzero norm."""
    quaternion = np.asarray(quaternion, np.float64)
    x, y, z, w = np.moveaxis(quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def is_rigid(pose: np.ndarray, tolerance: float = 1e-2) -> bool:
    """Whether a matrix is [4, 4], finite, with a rotation (orthonormal, not mirrored) and a last row 0, 0, 0, 1.

    The tolerance admits poses that were written with few digits.
    """
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        return False
    rotation = pose[:3, :3]
    return bool(
        np.allclose(rotation @ rotation.T, np.eye(3), atol=tolerance)
        and np.linalg.det(rotation) > 0
        and np.allclose(pose[3], (0, 0, 0, 1), atol=tolerance)
    )
