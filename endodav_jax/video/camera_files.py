"""Camera files with any distortion they describe, as written by OpenCV, ROS, COLMAP, nerfstudio and Matlab."""

import contextlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from endodav_jax.errors import UserError
from endodav_jax.files import read_text
from endodav_jax.geometry.pixels import Size
from endodav_jax.video.intrinsics import check_principal_point, read_intrinsics
from endodav_jax.video.lenses import Lens, Pinhole, ScaramuzzaCamera, lens_of, lens_of_colmap

_MATRICES = ("M1", "camera_matrix", "K", "intrinsics", "mtx", "Camera_Matrix")
_DISTORTIONS = (
    "distortion", "distortion_coefficients", "dist_coeffs", "dist_coeff", "distCoeffs", "dist", "D1", "D",
    "Distortion_Coefficients",
)  # fmt: skip
_MODELS = ("model", "distortion_model", "camera_model", "type")
_FISHEYES = ("fisheye", "equidistant", "kannala_brandt", "kannala_brandt4", "opencv_fisheye", "radial_fisheye",
             "simple_radial_fisheye")  # fmt: skip
_PINHOLES = ("pinhole", "opencv", "plumb_bob", "rational_polynomial", "radtan", "brown", "full_opencv", "radial",
             "simple_radial", "simple_pinhole", "perspective")  # fmt: skip
_OMNIDIRECTIONAL = ("omnidirectional", "scaramuzza", "ocam", "omni")
_TEXT = (".json", ".yaml", ".yml", ".txt")


def read_camera(text: str, full_size: Size, size: Size) -> Lens:
    """Reads a camera for frames of `full_size` (height, width) and returns it for frames resized to `size`.

    `text` is `fx,fy,cx,cy`, or a file.  In addition to everything that `intrinsics.read_intrinsics` accepts:

    - `.json`, `.yaml`: `fx`, `fy`, `cx`, `cy` (or `fl_x`, `fl_y`) or a matrix under `K`, `camera_matrix`, `intrinsics`
      (a list, `data:` as ROS writes it, or OpenCV's FileStorage); OpenCV's coefficients under `distortion`,
      `distortion_coefficients`, `dist_coeffs` or `D`, or by their names `k1`, `k2`, `p1`, ...; `model` (or
      `distortion_model`, `camera_model`) is `pinhole`, `opencv`, `plumb_bob`, `rational_polynomial`, or `fisheye`,
      `equidistant`, `OPENCV_FISHEYE`.  Without it, coefficients are those of OpenCV's pinhole.
    - `model: omnidirectional`: `width`, `height`, `cx`, `cy`, `a0`, `a2`, `a3`, `a4` and `c`, `d`, `e`, as C3VD has
      them, or Matlab's `MappingCoefficients`, `DistortionCenter` (counted from 1), `StretchMatrix`, `ImageSize`.
    - COLMAP's `cameras.txt` with one camera.

    If the file states the `width` and `height` (`w`, `h`, `image_width`, ...) it was made for, the camera is scaled.

    Raises:
      UserError: the file is unreadable, its camera is not one of these, or it is for frames of another shape.
    """
    path = Path(text)
    if path.suffix.lower() not in _TEXT or not path.is_file():
        return Pinhole(read_intrinsics(text, full_size, size))
    content = read_text(path, "give fx,fy,cx,cy or a file", f"--intrinsics {path}")
    if path.suffix.lower() == ".txt":
        lens, stated = _of_colmap(content, path)
        if lens is None:
            return Pinhole(read_intrinsics(text, full_size, size))
    else:
        values = _values(content, path)
        if not isinstance(values, dict):
            return Pinhole(read_intrinsics(_numbers_line(values, path), full_size, size, str(path)))
        try:
            stated = _stated_size(values)
            lens = _lens(values, path, stated or full_size)
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"--intrinsics {path}: is no camera known here ({_reason(error)})") from error
    return _fitted(lens, stated or full_size, full_size, size, path)


def read_pinhole(text: str, full_size: Size, size: Size) -> np.ndarray:
    """Like `read_camera`, for a camera without distortion: returns its intrinsics, float64 [4].

    Raises:
      UserError: as for `read_camera`; also if the camera has distortion, which would bend a surface.
    """
    lens = read_camera(text, full_size, size)
    if lens.distorted:
        raise UserError(
            f"--intrinsics {text}: this lens distorts, which bends surfaces and is not undone here yet; undistort the "
            "recording (cv2.undistort) and give the camera that it then has"
        )
    return np.asarray(lens.intrinsics, np.float64)


def _reason(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())


def _fitted(lens: Lens, stated: Size, full_size: Size, size: Size, path: Path) -> Lens:
    """The lens for frames of `size`; frames may be a scaled copy of the calibrated image, but not another crop."""
    ratio = (full_size[0] / stated[0]) / (full_size[1] / stated[1])
    if not 0.98 < ratio < 1.02:
        raise UserError(
            f"--intrinsics {path}: is for {stated[1]}x{stated[0]}, the frames are {full_size[1]}x{full_size[0]}, of "
            "another shape; give the camera of these frames"
        )
    check_principal_point(lens.intrinsics, stated, f"--intrinsics {path}")
    if stated == size:
        return lens
    return lens.scaled(size[1] / stated[1], size[0] / stated[0])


def _values(content: str, path: Path) -> Any:
    try:
        if path.suffix.lower() == ".json":
            return json.loads(content)
        if content.startswith("%YAML"):
            return _opencv_storage(content)
        return yaml.safe_load(content)
    except (ValueError, yaml.YAMLError, cv2.error, RecursionError) as error:
        raise UserError(f"--intrinsics {path}: cannot be read as {path.suffix[1:].lower()}; write it again") from error


def _opencv_storage(content: str) -> dict[str, Any]:
    storage = cv2.FileStorage(content, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
    values: dict[str, Any] = {}
    for key in storage.root().keys():  # noqa: SIM118 (a node of OpenCV is no mapping)
        node = storage.getNode(key)
        if node.isMap():
            with contextlib.suppress(cv2.error):
                matrix = node.mat()
                if matrix is not None:
                    values[key] = matrix
        elif node.isInt() or node.isReal():
            values[key] = node.real()
        elif node.isString():
            values[key] = node.string()
    storage.release()
    return values


def _numbers_line(values: Any, path: Path) -> str:
    try:
        flat = np.asarray(values, np.float64).reshape(-1)
    except (ValueError, TypeError) as error:
        raise UserError(f"--intrinsics {path}: not numbers; give fx,fy,cx,cy or a file with a 3x3 matrix") from error
    return ",".join(repr(float(value)) for value in flat)


def _stated_size(values: dict[str, Any]) -> Size | None:
    for height, width in (("height", "width"), ("h", "w"), ("image_height", "image_width")):
        if height in values and width in values:
            return int(values[height]), int(values[width])
    if "ImageSize" in values:  # Matlab: rows, columns
        rows, columns = values["ImageSize"]
        return int(rows), int(columns)
    return None


def _lens(values: dict[str, Any], path: Path, size: Size) -> Lens:
    model = next((str(values[key]).strip().lower() for key in _MODELS if key in values), "")
    if model in _OMNIDIRECTIONAL or "MappingCoefficients" in values or "polynomial" in values:
        return _omnidirectional(values, size)
    fisheye = model in _FISHEYES or bool(values.get("fisheye_model") or values.get("fisheye"))
    if model and not fisheye and model not in _PINHOLES:
        known = ", ".join((*_PINHOLES[:4], *_FISHEYES[:2], _OMNIDIRECTIONAL[0]))
        raise ValueError(f"model {model}; known are {known}")
    intrinsics = np.asarray(read_intrinsics(_matrix_line(values, path), size, size, str(path)))
    return lens_of(intrinsics, _distortion(values, fisheye), fisheye)


def _matrix_line(values: dict[str, Any], path: Path) -> str:
    for key in _MATRICES:
        if key in values:
            matrix = values[key]
            if isinstance(matrix, dict) and "data" not in matrix:
                return _matrix_line(matrix, path)
            return _numbers_line(matrix["data"] if isinstance(matrix, dict) else matrix, path)
    for names in (("fx", "fy", "cx", "cy"), ("fl_x", "fl_y", "cx", "cy")):
        if names[0] in values:
            return ",".join(repr(float(values[name])) for name in names)
    raise UserError(f"--intrinsics {path}: has neither fx, fy, cx, cy nor a matrix under K, camera_matrix, intrinsics")


def _distortion(values: dict[str, Any], fisheye: bool) -> tuple[float, ...]:
    for key in _DISTORTIONS:
        if values.get(key) is not None:
            found = values[key]
            if isinstance(found, dict) and "data" not in found:
                return _named_distortion(found, fisheye)
            flat = np.asarray(found["data"] if isinstance(found, dict) else found, np.float64).reshape(-1)
            return _padded(tuple(flat.tolist()), fisheye)
    return _named_distortion(values, fisheye)


def _named_distortion(values: dict[str, Any], fisheye: bool) -> tuple[float, ...]:
    names = ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
    return tuple(float(values.get(name, 0.0)) for name in names)


def _padded(coefficients: tuple[float, ...], fisheye: bool) -> tuple[float, ...]:
    """Pads one, two or three coefficients: they are the first radial ones, and the others are 0."""
    if fisheye and len(coefficients) > 4 and not any(coefficients[4:]):  # OpenCV's storage of an unused tail
        return coefficients[:4]
    return coefficients + (0.0,) * (4 - len(coefficients))


def _omnidirectional(values: dict[str, Any], size: Size) -> Lens:
    if "MappingCoefficients" in values:
        a0, a2, a3, a4 = (float(a) for a in values["MappingCoefficients"])
        cx, cy = (float(value) - 1 for value in values["DistortionCenter"])  # Matlab counts pixels from 1
        (c, d), (e, _) = np.asarray(values.get("StretchMatrix", np.eye(2)), np.float64)
        polynomial: tuple[float, ...] = (a0, 0.0, a2, a3, a4)
    else:
        polynomial = tuple(
            float(a) for a in values.get("polynomial", ()) or [values.get(f"a{i}", 0.0) for i in range(5)]
        )
        cx, cy = float(values["cx"]), float(values["cy"])
        c, d, e = float(values.get("c", 1.0)), float(values.get("d", 0.0)), float(values.get("e", 0.0))
    if not polynomial or not np.isfinite(polynomial).all() or polynomial[0] <= 0:
        raise ValueError("a0 must be a positive number")
    return ScaramuzzaCamera(size[1], size[0], cx, cy, polynomial, float(c), float(d), float(e))


def _of_colmap(content: str, path: Path) -> tuple[Lens | None, Size | None]:
    """The camera in a `cameras.txt`; None if the text is not such a file."""
    lines = [line.split() for line in content.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or len(lines[0]) < 5 or not lines[0][1].isupper():
        return None, None
    if len(lines) > 1:
        raise UserError(f"--intrinsics {path}: holds {len(lines)} cameras; give a file with the one of these frames")
    try:
        width, height = int(lines[0][2]), int(lines[0][3])
        parameters = np.array(lines[0][4:], np.float64)
    except ValueError as error:
        raise UserError(f"--intrinsics {path}: its line is not ID MODEL WIDTH HEIGHT PARAMETERS") from error
    try:
        return lens_of_colmap(lines[0][1], parameters), (height, width)
    except UserError as error:
        raise UserError(f"--intrinsics {path}: {error}") from error
