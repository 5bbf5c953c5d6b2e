"""`frame_data` of SCARED: one JSON file per frame with the camera's pose and calibration.

`camera-pose` maps world points into the camera (world = the keyframe's left camera), in mm: it is used as it stands.
Some published loaders invert it, or multiply the translation by 1000; both are wrong.
`camera-calibration.KL` is the left camera's matrix at 1280x1024.
"""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np

from endodav_jax.data.sources.archive import indexed_members
from endodav_jax.data.sources.bundle import Bundle
from endodav_jax.data.sources.decode import Unreadable
from endodav_jax.data.sources.scared_layout import CALIBRATION, Keyframe
from endodav_jax.geometry.pixels import intrinsics_of
from endodav_jax.geometry.poses import is_rigid

PATTERN = r"(\d+)\.json$"


@dataclasses.dataclass(frozen=True)
class FrameData:
    """Pose (cam_from_world, float64 [4, 4], mm) and intrinsics (float64 [4], at 1280x1024) of a frame."""

    cam_from_world: np.ndarray
    intrinsics: np.ndarray


def parse_frame_data(data: bytes, name: str) -> FrameData:
    """Reads one JSON file.

    Raises:
      Unreadable: not JSON, without a pose or a left camera, or with a pose that is not a rigid motion.
    """
    try:
        values = json.loads(data)
    except ValueError as error:
        raise Unreadable(f"{name} is truncated or no JSON file") from error
    if not isinstance(values, dict) or "camera-pose" not in values:
        raise Unreadable(f"{name} has no camera-pose")
    pose = _matrix(values["camera-pose"])
    if not is_rigid(pose):
        raise Unreadable(f"{name}: its camera-pose is not a rigid motion [4, 4]")
    calibration = values.get("camera-calibration")
    camera = _matrix(calibration.get("KL")) if isinstance(calibration, dict) else np.zeros(0)
    if camera.shape != (3, 3) or not np.isfinite(camera).all():
        raise Unreadable(f"{name} has no camera-calibration KL [3, 3]")
    return FrameData(pose, intrinsics_of(camera))


class Poses:
    """Frame data by index, from a folder (read when asked for) or an archive (small, read once)."""

    def __init__(self, keyframe: Keyframe):
        self._files = keyframe.pose_files
        self._parsed: dict[int, FrameData | Unreadable] = {}
        self._missing = "frame_data has no file for it"
        self.odd: str | None = None
        if self._files is None and keyframe.pose_archive is not None:
            self._read_archive(keyframe.bundle, keyframe.pose_archive)
        self.indices = sorted(self._files if self._files is not None else self._parsed)

    def get(self, index: int) -> FrameData:
        """Returns the data of a frame.

        Raises:
          Unreadable: missing or damaged.
        """
        if self._files is not None:
            path = self._files.get(index)
            if path is None or not path.is_file():
                raise Unreadable(self._missing)
            return parse_frame_data(path.read_bytes(), path.name)
        parsed = self._parsed.get(index)
        if parsed is None:
            raise Unreadable(self._missing)
        if isinstance(parsed, Unreadable):
            raise parsed
        return parsed

    def _read_archive(self, bundle: Bundle, name: str) -> None:
        with bundle.open(name) as file:
            try:
                for index, member, data in indexed_members(file, Path(name).name, PATTERN):
                    try:
                        self._parsed[index] = parse_frame_data(data, member)
                    except Unreadable as error:
                        self._parsed[index] = error
            except Unreadable as error:
                self._missing = self.odd = str(error)


def calibrated_intrinsics(bundle: Bundle) -> np.ndarray | None:
    """Returns the left camera of `endoscope_calibration.yaml`, float64 [4] at 1280x1024; None without that file."""
    if not bundle.has(CALIBRATION):
        return None
    with bundle.open(CALIBRATION) as file:
        text = file.read().decode("utf-8", "replace")
    try:
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        camera = storage.getNode("M1").mat()
        storage.release()
    except cv2.error:
        return None
    return None if camera is None or camera.shape != (3, 3) else intrinsics_of(camera)


def _matrix(values) -> np.ndarray:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return np.zeros(0)
