"""Depth and colour as point clouds."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plyfile

from endodav_jax.files import whole_file
from endodav_jax.video.depth_files import DepthFrame, Write, frame_name

_VERTEX = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")])


@contextlib.contextmanager
def ply_writer(
    folder: Path, intrinsics: np.ndarray, comment: str, rays: np.ndarray | None = None, unit: str = "up to scale"
) -> Iterator[Write]:
    """Returns a function that writes a binary `frame_00000.ply`: one coloured point per pixel that has a disparity.

    Camera coordinates: x right, y down, z forward, in the depth's own unit.

    Args:
      intrinsics: (fx, fy, cx, cy) in pixels of the frames.
      comment: one line for the header, such as where the intrinsics come from.
      rays: [H, W, 3] with z = 1, the rays of a distorted lens, inf where not forward; None for a pinhole.
      unit: the unit of depth, for the header.
    """
    comments = [comment, f"camera coordinates: x right, y down, z forward; depth is {unit}"]
    with whole_file(folder) as part:
        part.mkdir()

        def write(frame: DepthFrame) -> None:
            element = plyfile.PlyElement.describe(points_of(frame, intrinsics, rays), "vertex")
            plyfile.PlyData([element], byte_order="<", comments=comments).write(part / f"{frame_name(frame)}.ply")

        yield write


def points_of(frame: DepthFrame, intrinsics: np.ndarray, rays: np.ndarray | None = None) -> np.ndarray:
    """Returns the frame's points, [P] of (x, y, z, red, green, blue).

    X = depth * ((u - cx) / fx, (v - cy) / fy, 1).  Where disparity is 0, outside the view or at infinity, there is no
    point.  With `rays` [H, W, 3] of a distorted lens, X = depth * ray.
    """
    if frame.rgb is None:
        raise ValueError(f"frame {frame.index}: points need its colours")
    fx, fy, cx, cy = intrinsics
    v, u = np.nonzero(frame.disparity > 0 if rays is None else (frame.disparity > 0) & np.isfinite(rays[..., 0]))
    depth = frame.depth[v, u]
    points = np.empty(len(depth), _VERTEX)
    slope_x, slope_y = ((u - cx) / fx, (v - cy) / fy) if rays is None else rays[v, u, :2].T
    points["x"], points["y"], points["z"] = depth * slope_x, depth * slope_y, depth
    points["red"], points["green"], points["blue"] = frame.rgb[v, u].T
    return points
