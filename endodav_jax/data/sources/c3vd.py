"""C3VD: a clinical colonoscope in silicone models, depth and pose by registration.

Per clip `NNNN_color.png` (older copies: not padded), `NNNN_depth.tiff` (uint16 of 0 to 100 mm along the optical
axis; 0 and 65535 are invalid) and `pose.txt`.  A line of `pose.txt` is a camera-to-world matrix in mm in OpenCV's axes,
written column by column although its documentation says by rows: it is transposed.

Images are fisheye: `FISHEYE` is the published model.  By default they come with the pinhole approximation that
published work uses, which is poor at the rim; `undistort=True` resamples images and depth to a true pinhole camera.
"""

import re
from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np

from endodav_jax.data.sources.base import BadFrame, SequenceInfo, SequenceSource, SourceFrame
from endodav_jax.data.sources.decode import Unreadable, numbered_files, read_rgb, read_uint16
from endodav_jax.data.sources.paired_files import first_size, gaps_in, read_each, unpaired
from endodav_jax.data.splits import published_counts
from endodav_jax.errors import UserError
from endodav_jax.files import read_text
from endodav_jax.geometry.pixels import cut_intrinsics, resized_intrinsics
from endodav_jax.geometry.poses import inverse_rigid, is_rigid
from endodav_jax.video.lenses import ScaramuzzaCamera
from endodav_jax.video.undistort import Undistorter
from endodav_jax.video.view_mask import detect_view

NATIVE_SIZE = (1080, 1350)
FISHEYE = ScaramuzzaCamera(
    width=1350,
    height=1080,
    cx=678.544839263292,
    cy=542.975887548343,
    polynomial=(769.243600037458, 0.0, -0.000812770624150226, 6.25674244578925e-07, -1.1966218214428e-09),
    c=0.99998688224999,
    d=0.00288273829525059,
    e=-0.00296316513429569,
)
PINHOLE = np.array([802.319, 801.885, 668.286, 547.733])  # as EndoGSLAM and others approximate it
CUT = (200, 180, 1150, 900)  # left, top, right, bottom, of EndoDAC and EndoDAV
MAX_DEPTH_MM = 100.0
INVALID = 65535


class C3vdSource(SequenceSource):
    """Clips below a folder.

    Splits: `all` is the 22 published clips, `found` the clips that this copy holds.
    """

    name = "c3vd"
    splits = ("all", "found")

    def __init__(self, root: Path | str, *, undistort: bool = False, cut_border: bool = False):
        """Takes the folder of the clips.

        Args:
          root: folder that holds `cecum_t1_a`, ...
          undistort: resample to the pinhole camera `PINHOLE`.
          cut_border: cut (200, 180, 1150, 900), as EndoDAC and EndoDAV do.

        Raises:
          UserError: there is no such folder.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"{root}: no such folder; give the folder that holds cecum_t1_a")
        self._undistort = undistort
        self._undistorter: Undistorter | None = None
        self._cut_border = cut_border

    def sequences(self, split: str) -> list[str]:
        if split == "all":
            return list(published_counts("c3vd"))
        if split == "found":
            return sorted(path.parent.name for path in self.root.glob("*/pose.txt"))
        raise self._unknown_split(split)

    def describe(self, sequence: str) -> SequenceInfo:
        """Returns what this copy holds.

        Raises:
          UserError: the clip is missing.
        """
        images, depths, poses = self._parts(sequence)
        native = first_size(images)
        left, top, right, bottom = self._box(*native)
        odd = unpaired(images, depths, "depth map")
        gap = gaps_in(list(images))
        odd += [gap] if gap else []
        if native != NATIVE_SIZE:
            odd.append(f"images are {native[1]}x{native[0]} instead of 1350x1080; the camera is scaled")
        expected = published_counts("c3vd").get(sequence)
        if expected is not None and len(images) != expected:
            odd.append(f"{len(images)} frames instead of {expected}")
        return SequenceInfo(
            name=sequence,
            frames=len(images),
            height=bottom - top,
            width=right - left,
            has_depth=bool(depths),
            has_pose=len(poses) > 0,
            has_intrinsics=True,
            depth_frames=len(depths),
            pose_frames=len(poses),
            expected_frames=expected,
            layout="undistorted" if self._undistort else "fisheye",
            odd=tuple(odd),
        )

    def _items(self, sequence: str, only: Container[int] | None) -> Iterator[SourceFrame | BadFrame]:
        images, depths, poses = self._parts(sequence)
        view: np.ndarray | None = None

        def load(index: int, path: Path) -> SourceFrame:
            nonlocal view
            rgb = read_rgb(path)
            height, width = rgb.shape[:2]
            depth = depth_mm(depths.get(index, path.with_name(f"{index:04d}_depth.tiff"))) if depths else None
            pose = self._pose(poses, index) if len(poses) else None
            if self._undistort:
                undistorter = self._undistorter_for(width, height)
                rgb = undistorter.image(rgb)
                depth = None if depth is None else undistorter.depth(depth)
            if view is None:  # the border does not move within a clip
                found = detect_view([rgb])
                view = np.ones((height, width), bool) if found is None else found
            left, top, right, bottom = self._box(height, width)
            window = np.s_[top:bottom, left:right]
            return SourceFrame(
                frame=np.ascontiguousarray(rgb[window]),
                depth_mm=None if depth is None else np.ascontiguousarray(depth[window]),
                cam_from_world=pose,
                intrinsics=cut_intrinsics(resized_intrinsics(PINHOLE, NATIVE_SIZE, (height, width)), left, top),
                frame_index=index,
                sequence=sequence,
                view_mask=np.ascontiguousarray(view[window]),
            )

        return read_each(images, load, only)

    def _parts(self, sequence: str) -> tuple[dict[int, Path], dict[int, Path], np.ndarray]:
        folder = self.root / sequence
        if not folder.is_dir():
            raise UserError(f"{sequence}: not below {self.root}; download or unpack it")
        images = numbered_files(folder, (".png",), r"^(\d+)_color$")
        if not images:
            raise UserError(f"{sequence}: {folder} holds no NNNN_color.png; unpack it anew")
        return images, numbered_files(folder, (".tiff",), r"^(\d+)_depth$"), read_poses(folder / "pose.txt")

    def _pose(self, poses: np.ndarray, index: int) -> np.ndarray:
        if index >= len(poses):
            raise Unreadable(f"pose.txt has {len(poses)} lines and none for it")
        if not is_rigid(poses[index]):
            raise Unreadable("its line of pose.txt is not a rigid motion")
        return inverse_rigid(poses[index])

    def _box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of what is kept of an image, which may be a rescaled copy."""
        if not self._cut_border:
            return 0, 0, width, height
        native_height, native_width = NATIVE_SIZE
        left, right = (round(x * width / native_width) for x in CUT[::2])
        top, bottom = (round(y * height / native_height) for y in CUT[1::2])
        return left, top, right, bottom

    def _undistorter_for(self, width: int, height: int) -> Undistorter:
        if self._undistorter is None:
            pinhole = resized_intrinsics(PINHOLE, NATIVE_SIZE, (height, width))
            self._undistorter = Undistorter(FISHEYE.resized(width, height), pinhole, (height, width))
        return self._undistorter


def depth_mm(path: Path) -> np.ndarray:
    """Returns float32 [H, W], mm along the optical axis; 0 where invalid (stored as 0 or 65535)."""
    values = read_uint16(path)
    return np.where(values == INVALID, 0, values * np.float32(MAX_DEPTH_MM / 65535)).astype(np.float32)


def read_poses(path: Path) -> np.ndarray:
    """Returns the lines of `pose.txt` as world_from_cam, float64 [N, 4, 4]; N is 0 if there is no such file.

    Raises:
      UserError: a line does not have 16 numbers.
    """
    if not path.is_file():
        return np.zeros((0, 4, 4))
    rows = []
    for number, line in enumerate(read_text(path, "copy the file anew").splitlines(), start=1):
        fields = re.split(r"[,\s]+", line.strip())
        if fields == [""]:
            continue
        try:
            rows.append(np.array(fields, np.float64).reshape(4, 4).T)
        except ValueError as error:
            raise UserError(f"{path}: line {number} is not 16 numbers; copy the file anew") from error
    return np.array(rows).reshape(-1, 4, 4)
