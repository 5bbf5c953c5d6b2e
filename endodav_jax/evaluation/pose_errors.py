"""Errors of predicted camera motion on short snippets, as the published pose evaluator computes them."""

import numpy as np
from jaxtyping import Float, Float64

SNIPPET_MOTIONS = 4  # five frames


def snippet_errors(
    predicted: Float[np.ndarray, "N 4 4"], truth: Float[np.ndarray, "N 4 4"]
) -> tuple[Float64[np.ndarray, "N"], Float64[np.ndarray, "N"]]:
    """Errors of every snippet of up to five frames, one starting at each frame that is followed by a motion.

    Args:
      predicted, truth: [N,4,4] relative motions from frame to frame.

    Returns:
      ([N] absolute trajectory error in the unit of the truth, each snippet at its best scale; [N] rotation error,
      radians).  The last snippets are shorter, as published.
    """
    trajectory, rotation = [], []
    for start in range(len(truth)):
        found = trajectory_of(predicted[start : start + SNIPPET_MOTIONS])
        wanted = trajectory_of(truth[start : start + SNIPPET_MOTIONS])
        trajectory.append(_trajectory_error(found[:, :3, 3], wanted[:, :3, 3]))
        rotation.append(np.mean([_angle(w[:3, :3] @ f[:3, :3].T) for f, w in zip(found, wanted, strict=True)]))
    return np.array(trajectory), np.array(rotation)


def trajectory_of(motions: Float[np.ndarray, "N 4 4"]) -> Float64[np.ndarray, "N+1 4 4"]:
    """Returns [N+1,4,4], the products of the first 0, 1, ... N of the motions [N,4,4]."""
    poses = [np.eye(4)]
    for motion in motions:
        poses.append(poses[-1] @ motion)
    return np.stack(poses)


def _trajectory_error(found: Float[np.ndarray, "N 3"], wanted: Float[np.ndarray, "N 3"]) -> float:
    """Root of the summed squared distances, divided by the number of points (as published), after the best scale."""
    length = np.sum(found**2)
    scale = np.sum(wanted * found) / length if length > 0 else 0.0
    return float(np.sqrt(np.sum((scale * found - wanted) ** 2)) / len(wanted))


def _angle(rotation: Float[np.ndarray, "3 3"]) -> float:
    """Angle of a rotation matrix, radians, accurate near both 0 and pi."""
    sine = np.linalg.norm(
        [rotation[0, 1] - rotation[1, 0], rotation[1, 2] - rotation[2, 1], rotation[0, 2] - rotation[2, 0]]
    )
    return float(np.arctan2(sine, np.trace(rotation) - 1.0))
