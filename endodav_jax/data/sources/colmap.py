"""COLMAP models written as text."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from endodav_jax.data.sources.geometry_files import Geometry
from endodav_jax.errors import UserError
from endodav_jax.files import read_text
from endodav_jax.geometry.poses import rigid, rotation_from_quaternion
from endodav_jax.video.lenses import Lens, lens_of_colmap


def read_colmap(folder: Path, names: list[str]) -> Geometry:
    """Reads a COLMAP text model: `cameras.txt`, `images.txt` and, if present, `points3D.txt`.

    COLMAP's pixel centres are at halves; they are moved to integers.

    Args:
      folder: the folder of the model.
      names: file names of the frames in order; images with other names are left out.

    Raises:
      UserError: a file is missing or cannot be read, the camera model is unknown, or no image has one of these names.
    """
    cameras = dict(_colmap_cameras(folder / "cameras.txt"))
    xyz = dict(_colmap_points(folder / "points3D.txt"))
    positions = {name: position for position, name in enumerate(names)}
    points: dict[int, np.ndarray] = {}
    geometry = Geometry(points=points if xyz else None)
    for name, camera, pose, observations in _colmap_images(folder / "images.txt"):
        position = positions.get(Path(name).name)
        if position is None:
            continue
        if camera not in cameras:
            raise UserError(f"{folder / 'images.txt'}: image {name} has camera {camera}, which cameras.txt lacks")
        size, lens = cameras[camera]
        if geometry.size not in (None, size):
            raise UserError(f"{folder / 'cameras.txt'}: images of one sequence have cameras of several sizes")
        geometry.size = size
        geometry.intrinsics[position] = lens.intrinsics
        if lens.distorted:
            geometry.lenses[position] = lens
        geometry.cam_from_world[position] = pose
        seen = [(u, v, xyz[point]) for u, v, point in observations if point in xyz]
        if seen:
            uv = np.array([row[:2] for row in seen]) - 0.5
            z = np.array([row[2] for row in seen]) @ pose[2, :3] + pose[2, 3]
            points[position] = np.concatenate([uv, z[:, None]], axis=1)
    if not geometry.cam_from_world:
        raise UserError(f"{folder / 'images.txt'}: names none of the frames (such as {names[0]}); names must agree")
    if len(geometry.cam_from_world) < len(names):
        geometry.odd.append(f"COLMAP registered {len(geometry.cam_from_world)} of {len(names)} frames")
    return geometry


def _colmap_cameras(path: Path) -> Iterator[tuple[int, tuple[tuple[int, int], Lens]]]:
    for fields in _colmap_lines(path):
        try:
            identity, model, width, height = int(fields[0]), fields[1], int(fields[2]), int(fields[3])
            values = np.array(fields[4:], np.float64)
        except (ValueError, IndexError) as error:
            raise UserError(f"{path}: {' '.join(fields)!r} is not ID MODEL WIDTH HEIGHT PARAMETERS") from error
        try:
            yield identity, ((height, width), lens_of_colmap(model, values))
        except UserError as error:
            raise UserError(f"{path}: {error}") from error


def _colmap_images(path: Path) -> Iterator[tuple[str, int, np.ndarray, list[tuple[float, float, int]]]]:
    """Yields (name, camera, cam_from_world, observations (u, v, point)) of every two lines; the second may be empty."""
    lines = [line for line in _text(path).splitlines() if not line.startswith("#")]
    while lines and not lines[-1].strip() and len(lines) % 2:
        lines.pop()
    lines += [""] * (len(lines) % 2)
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        fields, points = first.split(maxsplit=9), second.split()
        try:
            w, x, y, z, *translation = (float(field) for field in fields[1:8])
            pose = rigid(rotation_from_quaternion(np.array([x, y, z, w])), np.array(translation))
            observations = [
                (float(u), float(v), int(point))
                for u, v, point in zip(*[iter(points)] * 3, strict=True)
                if point != "-1"
            ]
            yield fields[9], int(fields[8]), pose, observations
        except (ValueError, IndexError) as error:
            raise UserError(
                f"{path}: {first[:60]!r} is not ID QW QX QY QZ TX TY TZ CAMERA NAME followed by a line of points"
            ) from error


def _colmap_points(path: Path) -> Iterator[tuple[int, tuple[float, float, float]]]:
    if not path.is_file():
        return
    for fields in _colmap_lines(path):
        try:
            yield int(fields[0]), (float(fields[1]), float(fields[2]), float(fields[3]))
        except (ValueError, IndexError) as error:
            raise UserError(f"{path}: {' '.join(fields[:4])!r} is not ID X Y Z") from error


def _colmap_lines(path: Path) -> Iterator[list[str]]:
    for line in _text(path).splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.split()


def _text(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"{path}: missing; write COLMAP's model as text (colmap model_converter --output_type TXT)")
    return read_text(path, "write COLMAP's model as text (colmap model_converter --output_type TXT)")
