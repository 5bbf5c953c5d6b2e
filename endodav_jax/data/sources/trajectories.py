"""Camera trajectories as text: KITTI's (12 numbers per line) and TUM's (time, position, quaternion)."""

from pathlib import Path

import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.files import read_text
from endodav_jax.geometry.poses import is_rigid, rigid, rotation_from_quaternion


def read_trajectory(path: Path, frame_numbers: list[int]) -> np.ndarray:
    """Returns the poses of a file as written (both forms mean camera to world), float64 [N, 4, 4].

    KITTI: the upper three rows of a matrix, by rows.  TUM: `t tx ty tz qx qy qz qw`.  Lines that begin with # are
    comments.  Line n belongs to frame n; a TUM file with other than N lines is paired by time, where all its times
    are numbers of frames, and poses of other frames are nan.

    Args:
      path: of the file.
      frame_numbers: numbers of the N frames.

    Raises:
      UserError: missing, in neither form, with a pose that is not a rigid motion, or without one pose per frame.
    """
    poses, times = poses_as_written(path)
    if len(poses) == len(frame_numbers):
        return poses
    if times is not None and set(times) <= set(frame_numbers):
        paired = np.full((len(frame_numbers), 4, 4), np.nan)
        paired[[frame_numbers.index(int(time)) for time in times]] = poses
        return paired
    raise UserError(f"{path}: {len(poses)} poses for {len(frame_numbers)} frames; give one line a frame")


def poses_as_written(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the poses of a file, float64 [n, 4, 4], and the times of TUM lines, [n], whatever frames there are.

    Raises:
      UserError: missing, in neither form, or with a pose that is not a rigid motion.
    """
    rows = _rows(path)
    columns = {len(row) for row in rows}
    if columns == {12}:
        poses, times = _kitti(rows), None
    elif columns == {8}:
        values = np.array(rows)
        if (np.linalg.norm(values[:, 4:], axis=1) < 1e-6).any():
            raise UserError(f"{path}: a quaternion is 0 0 0 0; wanted qx qy qz qw of length 1")
        poses, times = rigid(rotation_from_quaternion(values[:, 4:]), values[:, 1:4]), values[:, 0]
    else:
        raise UserError(f"{path}: lines of {sorted(columns)} numbers; wanted 12 (KITTI) or 8 (TUM)")
    for line, pose in enumerate(poses, start=1):
        if not is_rigid(pose):
            raise UserError(f"{path}: pose {line} is not a rigid motion; check the order of its numbers")
    return poses, times


def _kitti(rows: list[list[float]]) -> np.ndarray:
    upper = np.array(rows).reshape(-1, 3, 4)
    return rigid(upper[..., :3], upper[..., 3])


def _rows(path: Path) -> list[list[float]]:
    if not path.is_file():
        raise UserError(f"{path}: no such file of poses")
    rows = []
    for number, line in enumerate(read_text(path, "wanted 12 (KITTI) or 8 (TUM) numbers a line").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            rows.append([float(field) for field in line.replace(",", " ").split()])
        except ValueError as error:
            raise UserError(f"{path}: line {number} is not numbers; wanted 12 (KITTI) or 8 (TUM) a line") from error
    if not rows:
        raise UserError(f"{path}: holds no pose")
    return rows
