"""Initial poses for alignment, from features tracked from the previous frame with and without their depth."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64

from endodav_jax.data.registration import followed_corners

FEWEST = 12
THERE_AND_BACK = 0.7  # maximum error in pixels of a feature tracked forwards and back
REPROJECTION = 1.5  # pixels
ROUNDS = 5
CARRYING = (30, 0.5)  # features, and their share of all corners, that must fit a pose for it to need no other proof


class Starts(NamedTuple):
    """Candidates for a motion, and the one that the features themselves prove.

    Attributes:
      poses: `now_from_before`, float64 [4,4] each.
      carried: the pose from features with depth where most corners of the frame before were found again and fit it,
        else None.
    """

    poses: list[Float64[np.ndarray, "4 4"]]
    carried: Float64[np.ndarray, "4 4"] | None = None


def feature_starts(
    before: Float32[np.ndarray, "H W 5"], now: Float32[np.ndarray, "H W 5"], intrinsics: Float[np.ndarray, "4"]
) -> Starts:
    """Returns candidates of `now_from_before`: a turn alone, and a pose from features with depth.

    A pose network may miss the rotation, and during a fast rotation neighbouring frames are too far apart for an
    alignment that starts from rest; features can be tracked much further.  Empty if too few can be tracked.

    Args:
      before, now: `Level.maps` [h,w,5] of two frames, depth in the same unit.
      intrinsics: [4].
    """
    first, second = grey_texture(before), grey_texture(now)
    known = (before[..., 4] > 0.5).astype(np.uint8)
    window = 2 * max(3, min(first.shape) // 14) + 1
    corners, ends, good = followed_corners(first, second, known, window=window, miss=THERE_AND_BACK)
    start, end = corners[good], ends[good]
    if len(start) < FEWEST:
        return Starts([])
    fx, fy, cx, cy = np.asarray(intrinsics, np.float64)
    rays = [np.column_stack([(p[:, 0] - cx) / fx, (p[:, 1] - cy) / fy, np.ones(len(p))]) for p in (start, end)]
    candidates = [_turn(*rays, focal=fx)]
    columns, rows = start.astype(np.float32).T[:, :, None]
    depth = cv2.remap(before[..., 3], columns, rows, cv2.INTER_LINEAR)[:, 0]
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    try:
        done, turn, shift, fitting = cv2.solvePnPRansac(
            rays[0] * depth[:, None], end, matrix, None, iterationsCount=100, reprojectionError=REPROJECTION
        )
    except cv2.error:  # collinear points
        done = False
    if not (done and np.isfinite(turn).all() and np.isfinite(shift).all()):
        return Starts(candidates)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(turn)[0], shift[:, 0]
    count = 0 if fitting is None else len(fitting)
    proven = count >= CARRYING[0] and count >= CARRYING[1] * len(corners)
    return Starts([*candidates, pose], pose if proven else None)


def _turn(before: np.ndarray, now: np.ndarray, *, focal: float) -> np.ndarray:
    """The rotation that best maps rays [N,3] onto each other (Kabsch), with outliers removed iteratively."""
    first, second = (rays / np.linalg.norm(rays, axis=1, keepdims=True) for rays in (before, now))
    weight = np.ones(len(first))
    rotation = np.eye(3)
    for _ in range(ROUNDS):
        u, _, v = np.linalg.svd((second * weight[:, None]).T @ first)
        rotation = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
        off = np.linalg.norm(second - first @ rotation.T, axis=1) * focal
        weight = 1 / (1 + (off / max(np.median(off), 0.3)) ** 2)
    pose = np.eye(4)
    pose[:3, :3] = rotation
    return pose


def grey_texture(maps: np.ndarray) -> np.ndarray:
    """Texture as 8 bits, for tracking with OpenCV."""
    return np.clip(128 + 50 * maps[..., 0], 0, 255).astype(np.uint8)
