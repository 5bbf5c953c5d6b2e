"""Geometry that accompanies a user's own sequence: camera, poses, points; and `geometry.npz`.

Everything is keyed by the position of a frame in its sequence, from 0.  Units are the file's; `frames` scales them.
"""

import dataclasses
from pathlib import Path

import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.files import DAMAGED_NPZ, open_npz
from endodav_jax.geometry.pixels import intrinsics_of
from endodav_jax.geometry.poses import is_rigid
from endodav_jax.video.lenses import Lens


@dataclasses.dataclass
class Geometry:
    """Camera, poses and points of a sequence.

    Attributes:
      intrinsics: float64 [4] of frame position -> camera, or under -1 of all frames; empty when unknown.
      size: (height, width) that the intrinsics and points are for; None for the frames' own.
      cam_from_world: float64 [4, 4] by position.
      points: float64 [n, 3] of u, v (pixel centres at integers) and Z by position; None without points.
      lenses: of frame positions whose camera is distorted; their `intrinsics` are those near the axis.
      odd: lines for the user.
    """

    intrinsics: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    size: tuple[int, int] | None = None
    cam_from_world: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    points: dict[int, np.ndarray] | None = None
    lenses: dict[int, Lens] = dataclasses.field(default_factory=dict)
    odd: list[str] = dataclasses.field(default_factory=list)

    def intrinsics_at(self, position: int) -> np.ndarray | None:
        """Returns float64 [4] of a frame, or None."""
        return self.intrinsics.get(position, self.intrinsics.get(-1))


def read_geometry_npz(path: Path, frames: int | None) -> Geometry:
    """Reads `intrinsics` [3, 3], `world_to_camera` [N, 4, 4] and `sparse_depth` (frame, point, u, v, z), if present.

    Args:
      path: of the file.
      frames: N; None where poses do not matter and any number will do.

    Raises:
      UserError: the file is unreadable, an array has another shape, or there is not exactly one pose per frame.
    """
    try:
        with open_npz(path) as file:
            arrays = dict(file)
    except DAMAGED_NPZ as error:
        raise UserError(f"{path}: truncated or no .npz file; write it anew") from error
    geometry = Geometry()
    if "intrinsics" in arrays:
        geometry.intrinsics[-1] = intrinsics_of(_shaped(path, "intrinsics", arrays, (3, 3)))
    if "world_to_camera" in arrays:
        poses = _shaped(path, "world_to_camera", arrays, (None, 4, 4))
        if frames is not None and len(poses) != frames:
            raise UserError(f"{path}: world_to_camera has {len(poses)} poses for {frames} frames; give one a frame")
        for position, pose in enumerate(poses):
            if not is_rigid(pose):
                raise UserError(f"{path}: world_to_camera[{position}] is not a rigid motion")
            geometry.cam_from_world[position] = pose
    if "sparse_depth" in arrays:
        rows = _shaped(path, "sparse_depth", arrays, (None, 5))
        geometry.points = {int(k): rows[rows[:, 0] == k][:, 2:5] for k in np.unique(rows[:, 0])}
    return geometry


def _shaped(path: Path, key: str, arrays: dict, shape: tuple) -> np.ndarray:
    values = np.asarray(arrays[key], np.float64)
    if values.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, values.shape, strict=True)):
        wanted = ", ".join("N" if n is None else str(n) for n in shape)
        raise UserError(f"{path}: {key} has the shape {values.shape}; wanted [{wanted}]")
    return values
