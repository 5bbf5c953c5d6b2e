"""SimCol3D: rendered colonoscopy, exact depth and pose.

`SyntheticColon_I/Frames_S1/{FrameBuffer,Depth}_0000.png` (475x475; colour is 16-bit RGBA), and one level up
`SavedPosition_S1.txt` (cm), `SavedRotationQuaternion_S1.txt` (x y z w) and `cam.txt`.  Depth is value / 65280 of 20 cm.
Poses are Unity's, left-handed and camera to world: M P M with M = diag(1, -1, 1, 1) is OpenCV's world_from_cam.
"""

import re
from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np

from endodav_jax.data.sources.base import BadFrame, SequenceInfo, SequenceSource, SourceFrame
from endodav_jax.data.sources.decode import Unreadable, numbered_files, read_rgb16, read_uint16
from endodav_jax.data.sources.paired_files import first_size, gaps_in, read_each, unpaired
from endodav_jax.data.splits import published_counts
from endodav_jax.errors import UserError
from endodav_jax.files import read_text
from endodav_jax.geometry.pixels import intrinsics_of, resized_intrinsics
from endodav_jax.geometry.poses import inverse_rigid, rigid, rotation_from_quaternion

DEPTH_RANGE_MM = 200.0
DEPTH_STEPS = 255 * 256
NATIVE_SIZE = (475, 475)
VIEWER_CAMERA = np.array([227.6, 237.5, 227.6, 237.5])  # fx, fy, cx, cy of the authors' viewer, without a cam.txt
HANDEDNESS = np.diag([1.0, -1.0, 1.0, 1.0])


class Simcol3dSource(SequenceSource):
    """Sequences `SyntheticColon_I/Frames_S1` below a folder.

    Splits: `test` is the nine published test sequences, `train` what else this copy holds, `found` all it holds.
    """

    name = "simcol3d"
    splits = ("train", "test", "found")

    def __init__(self, root: Path | str):
        """Takes the folder that holds `SyntheticColon_I`, ...

        Raises:
          UserError: there is no such folder.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"{root}: no such folder; give the folder that holds SyntheticColon_I")

    def sequences(self, split: str) -> list[str]:
        test = published_counts("simcol3d", "test_frames")
        if split == "test":
            return list(test)
        if split not in self.splits:
            raise self._unknown_split(split)
        folders = (path for path in self.root.glob("SyntheticColon_*/Frames_*") if path.is_dir())
        found = sorted((f"{path.parent.name}/{path.name}" for path in folders), key=_natural)
        return found if split == "found" else [name for name in found if name not in test]

    def describe(self, sequence: str) -> SequenceInfo:
        """Returns what this copy holds.

        Raises:
          UserError: the sequence is missing.
        """
        images, depths, poses = self._parts(sequence)
        height, width = first_size(images)
        odd = unpaired(images, depths, "depth map")
        gap = gaps_in(list(images))
        odd += [gap] if gap else []
        camera = _camera(self.root / sequence)
        if camera is None:
            odd.append("cam.txt is missing; the camera of the authors' viewer stands in")
        expected = published_counts("simcol3d", "test_frames").get(sequence)
        if expected is not None and len(images) != expected:
            odd.append(f"{len(images)} frames instead of {expected}")
        return SequenceInfo(
            name=sequence,
            frames=len(images),
            height=height,
            width=width,
            has_depth=bool(depths),
            has_pose=len(poses) > 0,
            has_intrinsics=camera is not None,
            depth_frames=len(depths),
            pose_frames=len(poses),
            expected_frames=expected,
            layout="SyntheticColon",
            odd=tuple(odd),
        )

    def _items(self, sequence: str, only: Container[int] | None) -> Iterator[SourceFrame | BadFrame]:
        images, depths, poses = self._parts(sequence)
        camera = _camera(self.root / sequence)

        def load(index: int, path: Path) -> SourceFrame:
            rgb = read_rgb16(path)
            height, width = rgb.shape[:2]
            if len(poses) and index >= len(poses):
                raise Unreadable(f"the files of poses have {len(poses)} lines and none for it")
            depth_path = depths.get(index, path.with_name(f"Depth_{index:04d}.png"))
            stand_in = resized_intrinsics(VIEWER_CAMERA, NATIVE_SIZE, (height, width))
            return SourceFrame(
                frame=rgb,
                depth_mm=depth_mm(depth_path) if depths else None,
                cam_from_world=inverse_rigid(poses[index]) if len(poses) else None,
                intrinsics=stand_in if camera is None else camera,
                frame_index=index,
                sequence=sequence,
            )

        return read_each(images, load, only)

    def _parts(self, sequence: str) -> tuple[dict[int, Path], dict[int, Path], np.ndarray]:
        folder = self.root / sequence
        if not folder.is_dir():
            raise UserError(f"{sequence}: not below {self.root}; download or unpack it")
        images = numbered_files(folder, (".png",), r"^FrameBuffer_(\d+)$")
        if not images:
            raise UserError(f"{sequence}: {folder} holds no FrameBuffer_NNNN.png; unpack it anew")
        return images, numbered_files(folder, (".png",), r"^Depth_(\d+)$"), read_poses(folder)


def depth_mm(path: Path) -> np.ndarray:
    """Returns float32 [H, W] in mm; 0 where nothing was hit."""
    return (read_uint16(path) * np.float32(DEPTH_RANGE_MM / DEPTH_STEPS)).astype(np.float32)


def read_poses(folder: Path) -> np.ndarray:
    """Returns world_from_cam in OpenCV's axes, float64 [N, 4, 4] in mm; no pose when the files are missing.

    Raises:
      UserError: one of the two files is missing, their lengths differ, or they do not hold numbers.
    """
    kind = folder.name.removeprefix("Frames_")
    paths = [folder.parent / f"SavedPosition_{kind}.txt", folder.parent / f"SavedRotationQuaternion_{kind}.txt"]
    if not any(path.is_file() for path in paths):
        return np.zeros((0, 4, 4))
    position, quaternion = (_table(path, columns) for path, columns in zip(paths, (3, 4), strict=True))
    if len(position) != len(quaternion):
        raise UserError(f"{paths[0]}: {len(position)} lines, but {len(quaternion)} in {paths[1].name}; copy them anew")
    unity = rigid(rotation_from_quaternion(quaternion), position * 10)
    return HANDEDNESS @ unity @ HANDEDNESS


def _camera(folder: Path) -> np.ndarray | None:
    for path in (folder / "cam.txt", folder.parent / "cam.txt"):
        if path.is_file():
            return intrinsics_of(_table(path, 3))
    return None


def _table(path: Path, columns: int) -> np.ndarray:
    if not path.exists():
        raise UserError(f"{path}: missing, while its companion is there; copy it too")
    text = read_text(path, "copy the file anew")
    try:
        return np.array(text.replace(",", " ").split(), np.float64).reshape(-1, columns)
    except ValueError as error:
        raise UserError(f"{path}: wanted {columns} numbers a line; copy the file anew") from error


def _natural(name: str) -> list:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
