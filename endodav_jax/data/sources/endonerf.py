"""EndoNeRF: two da Vinci clips with tool masks, depth from a stereo network (not measured), and a static camera.

`<scene>/{images,masks,depth}/`, `poses_bounds.npy` (also called `pose_bounds.npy`): N x 17, 3x5 [R | t | H, W, f] and
two bounds; columns 1 and 2 of R are negated to get OpenCV's axes.  Masks are 255 on tools.  The lowest rows
show the console's graphics.
"""

from collections.abc import Container, Iterator
from pathlib import Path

import numpy as np

from endodav_jax.data.sources.base import BadFrame, SequenceInfo, SequenceSource, SourceFrame
from endodav_jax.data.sources.decode import IMAGE_SUFFIXES, Unreadable, numbered_files, read_mask, read_rgb, read_uint16
from endodav_jax.data.sources.paired_files import first_size, gaps_in, read_each, unpaired
from endodav_jax.errors import UserError
from endodav_jax.geometry.pixels import scaled_intrinsics
from endodav_jax.geometry.poses import inverse_rigid, rigid

COUNTS = {"pulling_soft_tissues": 63, "cutting_tissues_twice": 156}
CORRUPT_DEPTH = {"cutting_tissues_twice": (21, 38)}  # published with damaged depth: their depth is left out as invalid
GRAPHICS_ROWS = 12 / 512  # share of the height, at the lower edge
POSES = ("poses_bounds.npy", "pose_bounds.npy")


class EndonerfSource(SequenceSource):
    """Scenes below a folder.

    Splits: `all` is the two published scenes, `found` what this copy holds.  `view_mask` is false on tools (unless
    `tools=True`) and on the rows of the console's graphics.
    """

    name = "endonerf"
    splits = ("all", "found")

    def __init__(self, root: Path | str, *, tools: bool = False, negated_masks: bool = False):
        """Takes the folder of the scenes.

        Args:
          root: folder that holds `pulling_soft_tissues`, ..., or one scene.
          tools: count tools as part of the scene.
          negated_masks: masks are 0 on tools, as in conversions of StereoMIS.

        Raises:
          UserError: there is no such folder.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"{root}: no such folder; give the folder that holds pulling_soft_tissues")
        if (self.root / "images").is_dir():  # a scene: its folder holds it
            self.root = self.root.resolve().parent
        self._tools = tools
        self._tool_value = not negated_masks

    def sequences(self, split: str) -> list[str]:
        if split == "all":
            return list(COUNTS)
        if split == "found":
            return sorted(path.parent.name for path in self.root.glob("*/images"))
        raise self._unknown_split(split)

    def describe(self, sequence: str) -> SequenceInfo:
        """Returns what this copy holds.

        Raises:
          UserError: the scene is missing.
        """
        images, depths, masks = self._parts(sequence)
        poses = self._poses(sequence)
        height, width = first_size(images)
        odd = unpaired(images, depths, "depth map") + (unpaired(images, masks, "mask") if masks else ["no tool masks"])
        gap = gaps_in(list(images))
        odd += [gap] if gap else []
        if sequence in COUNTS and len(images) != COUNTS[sequence]:
            odd.append(f"{len(images)} frames instead of {COUNTS[sequence]}")
        if depths:
            odd.append("depth is a stereo network's estimate, not a measurement")
        if sequence in CORRUPT_DEPTH:
            odd.append(f"depth of frames {CORRUPT_DEPTH[sequence]} is damaged as published and left out")
        return SequenceInfo(
            name=sequence,
            frames=len(images),
            height=height,
            width=width,
            has_depth=bool(depths),
            has_pose=len(poses) > 0,
            has_intrinsics=len(poses) > 0,
            depth_frames=len(depths),
            pose_frames=len(poses),
            expected_frames=COUNTS.get(sequence),
            layout="LLFF",
            odd=tuple(odd),
        )

    def _items(self, sequence: str, only: Container[int] | None) -> Iterator[SourceFrame | BadFrame]:
        images, depths, masks = self._parts(sequence)
        poses = self._poses(sequence)
        first = min(images)

        def load(index: int, path: Path) -> SourceFrame:
            rgb = read_rgb(path)
            height, width = rgb.shape[:2]
            row = index - first
            if row >= len(poses):
                raise Unreadable(f"poses_bounds.npy has {len(poses)} rows and none for it")
            corrupt = index in CORRUPT_DEPTH.get(sequence, ())
            pose, (stored_height, stored_width, focal) = _llff(poses[row])
            view = np.ones((height, width), bool)
            view[height - round(GRAPHICS_ROWS * height) :] = False
            if masks and not self._tools:
                if index not in masks:
                    raise Unreadable("it has no tool mask")
                view &= read_mask(masks[index]) != self._tool_value
            pinhole = np.array([focal, focal, stored_width / 2, stored_height / 2])
            return SourceFrame(
                frame=rgb,
                depth_mm=None if corrupt or not depths else self._depth(depths, index),
                cam_from_world=inverse_rigid(pose),
                intrinsics=scaled_intrinsics(pinhole, width / stored_width, height / stored_height),
                frame_index=index,
                sequence=sequence,
                view_mask=view,
            )

        return read_each(images, load, only)

    def _depth(self, depths: dict[int, Path], index: int) -> np.ndarray:
        if index not in depths:
            raise Unreadable("it has no depth map")
        return read_uint16(depths[index]).astype(np.float32)

    def _parts(self, sequence: str) -> tuple[dict[int, Path], ...]:
        folder = self.root / sequence
        if not (folder / "images").is_dir():
            raise UserError(f"{sequence}: no {sequence}/images below {self.root}; download or unpack it")
        parts = tuple(
            numbered_files(folder / name, IMAGE_SUFFIXES) if (folder / name).is_dir() else {}
            for name in ("images", "depth", "masks")
        )
        if not parts[0]:
            raise UserError(f"{sequence}: {folder / 'images'} holds no images; unpack it anew")
        return parts

    def _poses(self, sequence: str) -> np.ndarray:
        for name in POSES:
            path = self.root / sequence / name
            if path.is_file():
                try:
                    return np.load(path).reshape(-1, 17).astype(np.float64)
                except (ValueError, EOFError, OSError) as error:
                    raise UserError(f"{path}: truncated, or not N x 17 numbers; copy it anew") from error
        raise UserError(f"{sequence}: {self.root / sequence} has neither {POSES[0]} nor {POSES[1]}; copy one there")


def _llff(row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns world_from_cam [4, 4] in OpenCV's axes and (height, width, focal length) of a row of 17 numbers."""
    matrix = row[:15].reshape(3, 5)
    return rigid(matrix[:, :3] * (1, -1, -1), matrix[:, 3]), matrix[:, 4]
