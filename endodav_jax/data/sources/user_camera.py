"""The camera file of a user's own endoscope: the forms of `video.intrinsics`, and YAML."""

from pathlib import Path

import cv2
import numpy as np
import yaml

from endodav_jax.errors import UserError
from endodav_jax.video.intrinsics import read_intrinsics

MATRICES = ("M1", "camera_matrix", "K", "intrinsics")


def read_user_camera(text: str, size: tuple[int, int]) -> np.ndarray:
    """Returns float64 [4] (fx, fy, cx, cy) in pixels of frames of `size` (height, width).

    `text` is `fx,fy,cx,cy`, or a file: see `read_intrinsics`, and `.yaml` with `fx`, `fy`, `cx`, `cy`, with a matrix
    under `K`, `camera_matrix` or `intrinsics` (a list, or `data:` as ROS writes it), or OpenCV's FileStorage.

    Raises:
      UserError: unreadable, or not such a camera.
    """
    path = Path(text)
    if path.suffix.lower() not in (".yaml", ".yml"):
        return read_intrinsics(text, size, size)
    if not path.is_file():
        raise UserError(f"--intrinsics {path}: no such file")
    content = path.read_text(encoding="utf-8-sig")
    numbers = _opencv_matrix(content) if content.startswith("%YAML") else _plain(content, path)
    flat = np.asarray(numbers, np.float64).reshape(-1)
    return read_intrinsics(",".join(repr(float(value)) for value in flat), size, size)


def _opencv_matrix(content: str) -> np.ndarray:
    storage = cv2.FileStorage(content, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
    matrices = [storage.getNode(key).mat() for key in MATRICES]
    storage.release()
    return next((matrix for matrix in matrices if matrix is not None), np.zeros(0))


def _plain(content: str, path: Path):
    try:
        values = yaml.safe_load(content)
        for key in MATRICES:
            if key in values:
                matrix = values[key]
                return matrix["data"] if isinstance(matrix, dict) else matrix
        return [float(values[key]) for key in ("fx", "fy", "cx", "cy")]
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"--intrinsics {path}: has neither fx, fy, cx, cy nor a matrix under K or camera_matrix"
        ) from error
