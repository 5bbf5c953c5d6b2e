"""Intrinsics (fx, fy, cx, cy) under resizing and cropping, and poses in their various published forms.

Integer coordinates are pixel centres, so the left edge of the image is at -1/2: resizing by s maps a coordinate
u to (u + 1/2) s - 1/2.
"""

import numpy as np

# Published normalised intrinsics of SCARED, a mean over its data sets.
ENDOVIS_CONSTANT = (0.82, 1.02, 0.5, 0.5)


def normalised_intrinsics(values: tuple[float, float, float, float], width: int, height: int) -> np.ndarray:
    """Returns fx, fy, cx, cy in pixels from values that are fractions of the image's size, as the published code does.

    (The published code multiplies the principal point by the size as well and thus is half a pixel off the centre.)
    """
    return np.asarray(values, np.float64) * (width, height, width, height)


def resized_intrinsics(intrinsics: np.ndarray, from_size: tuple[int, int], to_size: tuple[int, int]) -> np.ndarray:
    """Returns intrinsics [4] of an image of `from_size` (width, height) after it is resized to `to_size`."""
    scale = np.asarray(to_size, np.float64) / np.asarray(from_size, np.float64)
    focal, centre = np.asarray(intrinsics, np.float64).reshape(2, 2)
    return np.concatenate([focal * scale, (centre + 0.5) * scale - 0.5])


def cut_intrinsics(intrinsics: np.ndarray, left: float, top: float) -> np.ndarray:
    """Returns intrinsics [4] of an image after its first `left` columns and `top` rows are cropped."""
    return np.asarray(intrinsics, np.float64) - (0, 0, left, top)


def intrinsics_of(matrix: np.ndarray) -> np.ndarray:
    """Returns fx, fy, cx, cy of a camera matrix, float64 [3, 3] or [3, 4]."""
    return np.array([matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]], np.float64)


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


def rigid(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Returns [..., 4, 4] from rotations [..., 3, 3] and translations [..., 3]."""
    pose = np.zeros((*rotation.shape[:-2], 4, 4), np.float64)
    pose[..., :3, :3] = rotation
    pose[..., :3, 3] = translation
    pose[..., 3, 3] = 1
    return pose


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
