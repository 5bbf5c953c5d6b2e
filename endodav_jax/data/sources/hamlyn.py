"""Hamlyn (`hamlyn_video`), rectified by Endo-Depth-and-Motion: in-vivo stereo, depth by LIBELAS, no poses.

Depth is a uint16 PNG in whole millimetres, 0 where invalid (it looks black in a viewer); 1 to 300 mm is the valid
range according to its authors, published evaluations keep 1e-3 to 150 mm.  Numbers can have gaps, so images and depth
are paired by name.  EndoDAV's video evaluation reads image01 and depth01 and crops nothing; its frame-wise loader
cuts columns 180 to 590 of sequences above 13 (720x288, anamorphic, black at the sides).
"""

import re
from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np

from endodav_jax.data.sources.base import BadFrame, SequenceInfo, SequenceSource, SourceFrame
from endodav_jax.data.sources.decode import IMAGE_SUFFIXES, numbered_files, read_rgb, read_uint16
from endodav_jax.data.sources.paired_files import first_size, gaps_in, read_each, unpaired
from endodav_jax.data.splits import published_list
from endodav_jax.errors import UserError
from endodav_jax.files import read_text
from endodav_jax.geometry.pixels import cut_intrinsics, intrinsics_of, resized_intrinsics

# Sequences -> ((height, width), fx = fy, cx, cy).
CAMERAS: dict[tuple[int, ...], tuple[tuple[int, int], float, float, float]] = {
    (1,): ((240, 320), 383.1901395, 155.966, 124.334),
    (4, 5): ((288, 360), 579.05693, 139.932, 159.019),
    (6, 8, 9): ((480, 640), 765.8236885, 276.473, 253.675),
    (11, 12): ((288, 360), 426.532013, 175.208, 153.162),
    tuple(range(14, 25)): ((288, 720), 417.9036255, 373.208, 158.136),
    (25, 26, 27): ((288, 720), 455.510315, 238.629, 124.085),
}
OFTEN_OMITTED = "rectified08"  # the 22nd: published, but not in EndoDAV's list of 21
COUNTS = {"rectified08": 14393, "rectified23": 11255, "rectified19": 10622, "rectified18": 5596, "rectified21": 5367}
CUT = (180, 590)
CUT_OF = 720  # columns of an image as distributed
FIRST_CUT = 14


class HamlynSource(SequenceSource):
    """The rectified release below a folder: `rectifiedNN/{image01,depth01}`, also one folder of that name deeper.

    Splits: `test` is EndoDAV's 21 sequences, `validation` its five, `all` the 22 published ones.
    """

    name = "hamlyn_video"
    splits = ("test", "validation", "all")

    def __init__(self, root: Path | str, *, cut_sides: bool = False):
        """Takes the release's folder.

        Args:
          root: folder that holds `rectified01`, ...
          cut_sides: cut columns 180 to 590 of sequences 14 to 27, as published frame-wise loaders do; the principal
            point moves along.

        Raises:
          UserError: there is no such folder.
        """
        self.root = Path(root)
        self._cut_sides = cut_sides
        if not self.root.is_dir():
            raise UserError(f"{root}: no such folder; give the folder that holds rectified01")

    def sequences(self, split: str) -> list[str]:
        if split == "validation":
            return published_list("hamlyn_video", "val_files")
        if split == "test":
            return published_list("hamlyn_video", "val_files_all")
        if split == "all":
            return sorted([*published_list("hamlyn_video", "val_files_all"), OFTEN_OMITTED])
        raise self._unknown_split(split)

    def describe(self, sequence: str) -> SequenceInfo:
        """Returns what this copy holds.

        Raises:
          UserError: the sequence or its image01 is missing.
        """
        number, folder = self._folder(sequence)
        images, depths = _files(folder)
        native_height, native_width = first_size(images)
        left, right = self._columns(number, native_width)
        (height, width), table = camera_of(number)
        odd = unpaired(images, depths, "depth map")
        gap = gaps_in(list(images))
        odd += [gap] if gap else []
        if (native_width, native_height) != (width, height):
            odd.append(f"images are {native_width}x{native_height}, the camera is for {width}x{height} and is scaled")
        own = _own_intrinsics(folder, self.root)
        if own is not None and not np.allclose(own, table, rtol=0.01):
            odd.append("intrinsics.txt differs from the published camera; taken as it stands, for the images' own size")
        if sequence in COUNTS and len(images) != COUNTS[sequence]:
            odd.append(f"{len(images)} frames instead of {COUNTS[sequence]}")
        return SequenceInfo(
            name=sequence,
            frames=len(images),
            height=native_height,
            width=right - left,
            has_depth=bool(depths),
            has_pose=False,
            has_intrinsics=True,
            depth_frames=len(depths),
            pose_frames=0,
            expected_frames=COUNTS.get(sequence),
            layout="rectified release",
            odd=tuple(odd),
        )

    def _items(self, sequence: str, only: Container[int] | None) -> Iterator[SourceFrame | BadFrame]:
        number, folder = self._folder(sequence)
        images, depths = _files(folder)
        own = _own_intrinsics(folder, self.root)

        def load(index: int, path: Path) -> SourceFrame:
            rgb = read_rgb(path)
            height, width = rgb.shape[:2]
            left, right = self._columns(number, width)
            size, table = camera_of(number)
            if own is None or np.allclose(own, table, rtol=0.01):
                intrinsics = resized_intrinsics(table, size, (height, width))
            else:
                intrinsics = own
            depth = read_uint16(depths.get(index, folder / "depth01" / f"{path.stem}.png")) if depths else None
            return SourceFrame(
                frame=np.ascontiguousarray(rgb[:, left:right]),
                depth_mm=None if depth is None else np.ascontiguousarray(depth[:, left:right], np.float32),
                cam_from_world=None,
                intrinsics=cut_intrinsics(intrinsics, left, 0),
                frame_index=index,
                sequence=sequence,
            )

        return read_each(images, load, only)

    def _columns(self, number: int, width: int) -> tuple[int, int]:
        """(left, right) of what is kept of an image, which may be a rescaled copy."""
        if not self._cut_sides or number < FIRST_CUT:
            return 0, width
        left, right = (round(x * width / CUT_OF) for x in CUT)
        return left, right

    def _folder(self, sequence: str) -> tuple[int, Path]:
        match = re.fullmatch(r"rectified(\d\d)", sequence)
        if match is None:
            raise UserError(f"{sequence}: not a sequence of Hamlyn; wanted a name such as rectified01")
        for folder in (self.root / sequence, self.root / sequence / sequence):
            if (folder / "image01").is_dir():
                return int(match[1]), folder
        raise UserError(f"{sequence}: no {sequence}/image01 below {self.root}; download or unpack it")


def camera_of(number: int) -> tuple[tuple[int, int], np.ndarray]:
    """Returns ((height, width), float64 [4] of fx, fy, cx, cy) of a sequence by its number.

    Raises:
      UserError: there is no such sequence.
    """
    for numbers, (size, focal, cx, cy) in CAMERAS.items():
        if number in numbers:
            return size, np.array([focal, focal, cx, cy])
    raise UserError(f"rectified{number:02d}: no such sequence of Hamlyn; there are 01, 04-06, 08, 09, 11, 12, 14-27")


def _own_intrinsics(folder: Path, root: Path) -> np.ndarray | None:
    """Returns fx, fy, cx, cy of an `intrinsics.txt` (3x3 or 3x4) beside the images or in `calibration/`, or None."""
    for path in (folder / "intrinsics.txt", root / "calibration" / folder.name / "intrinsics.txt"):
        if path.is_file():
            values = read_text(path, "wanted a camera matrix of 3x3 or 3x4 numbers").replace(",", " ").split()
            try:
                return intrinsics_of(np.array(values, np.float64).reshape(3, -1)[:, :3])
            except ValueError as error:
                raise UserError(f"{path}: wanted a camera matrix of 3x3 or 3x4 numbers") from error
    return None


def _files(folder: Path) -> tuple[dict[int, Path], dict[int, Path]]:
    images = numbered_files(folder / "image01", IMAGE_SUFFIXES)
    if not images:
        raise UserError(f"{folder / 'image01'}: holds no images; unpack the sequence anew")
    depth = folder / "depth01"
    return images, numbered_files(depth, (".png",)) if depth.is_dir() else {}
