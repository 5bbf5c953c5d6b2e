"""Temporal alignment error and similarity (TAE, TAS): how well the depth of one frame, moved by the true camera
motion, agrees with the depth of the next.

As in the published evaluators, pixel centres lie at +0.5, points are moved through the world and land on the nearest
pixel by rounding half to even, and if several land on one pixel, the last in row order is kept.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

_IN_FRONT = 1e-6  # minimum distance in front of the camera for a point to be visible


def temporal_errors(
    depth_a: Float[np.ndarray, "H W"],
    valid_a: Bool[np.ndarray, "H W"],
    projection_a: Float64[np.ndarray, "4 4"],
    depth_b: Float[np.ndarray, "H W"],
    valid_b: Bool[np.ndarray, "H W"],
    projection_b: Float64[np.ndarray, "4 4"],
    landing_a: Bool[np.ndarray, "H W"] | None = None,
    landing_b: Bool[np.ndarray, "H W"] | None = None,
) -> tuple[float, float]:
    """Returns (TAE in percent, TAS in [0, 1]) of two frames, averaged over both directions.

    Args:
      depth_a, depth_b: [H,W] aligned depth, mm.
      valid_a, valid_b: bool [H,W], where the ground truth is valid.
      projection_a, projection_b: float64 [4,4], intrinsics @ cam_from_world.
      landing_a, landing_b: bool [H,W], where points of the other frame are compared; as published, where the ground
        truth is valid.

    Returns:
      NaN for both if no point of one frame lands on a pixel of the other that is compared.
    """
    a_from_b = projection_a @ np.linalg.inv(projection_b)
    b_from_a = projection_b @ np.linalg.inv(projection_a)
    forward = _agreement(_moved(depth_a, valid_a, b_from_a, valid_b if landing_b is None else landing_b), depth_b)
    backward = _agreement(_moved(depth_b, valid_b, a_from_b, valid_a if landing_a is None else landing_a), depth_a)
    return 50.0 * (forward[0] + backward[0]), 0.5 * (forward[1] + backward[1])


def projection_matrix(
    intrinsics: Float[np.ndarray, "4"], cam_from_world: Float[np.ndarray, "4 4"]
) -> Float64[np.ndarray, "4 4"]:
    """Returns float64 [4,4]: world point -> (x z, y z, z, 1), for intrinsics (fx, fy, cx, cy) and a [4,4] pose."""
    fx, fy, cx, cy = intrinsics
    matrix = np.eye(4)
    matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2] = fx, fy, cx, cy
    return matrix @ np.asarray(cam_from_world, np.float64)


def _moved(
    depth: Float[np.ndarray, "H W"],
    valid: Bool[np.ndarray, "H W"],
    target_from_source: Float64[np.ndarray, "4 4"],
    target_valid: Bool[np.ndarray, "H W"],
) -> Float32[np.ndarray, "H W"]:
    """Returns float32 [H,W]: the depth as seen by the other camera, 0 where nothing lands or is valid."""
    height, width = depth.shape
    rows, columns = np.nonzero(valid)
    z = depth[rows, columns].astype(np.float64)
    points = np.stack([(columns + 0.5) * z, (rows + 0.5) * z, z, np.ones_like(z)])
    moved = target_from_source @ points
    z = moved[2]
    x, y = (np.round(moved[i] / np.maximum(z, _IN_FRONT)).astype(np.int64) for i in (0, 1))
    seen = (z > _IN_FRONT) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    landed = np.zeros((height, width), np.float32)
    landed[y[seen], x[seen]] = z[seen]
    return landed * target_valid


def _agreement(moved: Float32[np.ndarray, "H W"], depth: Float[np.ndarray, "H W"]) -> tuple[float, float]:
    """Returns (mean relative difference, fraction within a factor 1.25), relative to the frame's own depth."""
    seen = moved > _IN_FRONT
    if not seen.any():
        return float("nan"), float("nan")
    moved, reference = moved[seen].astype(np.float64), depth[seen].astype(np.float64)
    relative = np.mean(np.abs(reference - moved) / reference)
    return float(relative), float(np.mean(np.maximum(reference / moved, moved / reference) < 1.25))
