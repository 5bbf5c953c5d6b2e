"""SCARED (`scared_video`): da Vinci stereo endoscopy of porcine tissue, depth by structured light.

The left view of every frame, Z in mm in the *distorted* left image (nobody undistorts it), the pose as published
(world to camera, mm) and either each frame's own camera or the constant one that the published programs train with.
Depth is measured at keyframes; in between it is the keyframe's point cloud moved by the robot's kinematics, so its
error grows along a sequence.
"""

import contextlib
import re
from collections.abc import Container, Generator, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from endodav_jax.data.sources.archive import OrderedArchive
from endodav_jax.data.sources.base import BadFrame, SequenceInfo, SequenceSource, SourceFrame
from endodav_jax.data.sources.cameras import ENDOVIS_CONSTANT, normalised_intrinsics
from endodav_jax.data.sources.decode import Unreadable, read_rgb, read_z_map
from endodav_jax.data.sources.scared_layout import (
    VIDEO,
    Keyframe,
    find_keyframes,
    look_into,
    renamed_keyframes,
)
from endodav_jax.data.sources.scared_poses import Poses, calibrated_intrinsics
from endodav_jax.data.splits import published_counts, published_list
from endodav_jax.data.splits.scared_frames import canonical_name
from endodav_jax.errors import UserError
from endodav_jax.geometry.pixels import resized_intrinsics
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.video_file import VideoFile

NATIVE_SIZE = (1024, 1280)  # of the calibration
SPLITS = {
    "train": "train_files",
    "train_origin": "train_files_origin",
    "validation": "val_files",
    "test": "test_files",
    "eval": "eval_files",
}
DEPTH_PATTERN = r"(\d+)\.tiff?$"


class ScaredSource(SequenceSource):
    """SCARED below a folder, in any of its published forms.

    Splits are EndoDAV's lists, and `all` is every sequence.  A sequence may be named with or without `train/` and
    underscores; frames carry the published name.
    """

    name = "scared_video"
    splits = (*SPLITS, "all")

    def __init__(self, root: Path | str, *, intrinsics: Literal["frame", "constant"] = "frame"):
        """Looks for keyframes.

        Args:
          root: folder with `dataset_1`, `dataset_1.zip`, `train/dataset1`, ..., or one such data set or zip file.
          intrinsics: `frame` for KL of each frame, `constant` for (0.82, 1.02, 0.5, 0.5) of the image's size.

        Raises:
          UserError: there is no such folder or nothing of SCARED in it.
        """
        if intrinsics not in ("frame", "constant"):
            raise UserError(f"scared: intrinsics {intrinsics!r}; choose frame or constant")
        self.root = Path(root)
        self._constant = intrinsics == "constant"
        self._keyframes = find_keyframes(self.root)
        if not self._keyframes:
            raise UserError(f"{root}: holds no dataset_N/keyframe_M, dataset_N.zip nor train/datasetN of SCARED")
        self._renamed = {dataset: renamed_keyframes(self._keyframes, dataset) for dataset in (8, 9)}
        self._infos: dict[str, SequenceInfo] = {}

    def sequences(self, split: str) -> list[str]:
        if split == "all":
            return list(published_counts("scared_video"))
        if split not in SPLITS:
            raise self._unknown_split(split)
        return published_list("scared_video", SPLITS[split])

    def describe(self, sequence: str) -> SequenceInfo:
        """Returns what this copy holds; depth maps in an archive are not counted.

        Raises:
          UserError: the sequence is missing or has no colour frames.
        """
        name = canonical_name(sequence)
        if name not in self._infos:
            self._infos[name] = self._describe(name)
        return self._infos[name]

    def _describe(self, name: str) -> SequenceInfo:
        keyframe, odd = self._keyframe(name)
        frames, (height, width), cut = _colour_facts(keyframe)
        odd += cut
        poses = Poses(keyframe)
        odd += [poses.odd] if poses.odd else []
        has_depth = keyframe.depth_files is not None or keyframe.depth_archive is not None
        if not poses.indices:
            odd.append("no poses (frame_data is missing, as in some downloads of data sets 8 and 9)")
        if not has_depth:
            odd.append("no depth (scene_points is missing, as in some downloads of data sets 8 and 9)")
        if "/dataset4/" in name or "/dataset5/" in name:
            odd.append("calibration and depth between keyframes are known to be off in data sets 4 and 5")
        expected = published_counts("scared_video").get(name)
        if expected is not None and frames != expected:
            odd.append(f"{frames} frames instead of {expected}")
        return SequenceInfo(
            name=name,
            frames=frames,
            height=height,
            width=width,
            has_depth=has_depth,
            has_pose=bool(poses.indices),
            has_intrinsics=bool(poses.indices) or calibrated_intrinsics(keyframe.bundle) is not None,
            depth_frames=len(keyframe.depth_files) if keyframe.depth_files is not None else None,
            pose_frames=len(poses.indices),
            expected_frames=expected,
            layout=keyframe.layout,
            odd=tuple(odd),
        )

    def _keyframe(self, name: str) -> tuple[Keyframe, list[str]]:
        dataset, number = map(int, re.findall(r"\d+", name))
        renamed = self._renamed.get(dataset, False)
        bundle = self._keyframes.get((dataset, number + 1 if renamed else number))
        if bundle is None:
            raise UserError(f"{name}: not below {self.root}; download or unpack data set {dataset}")
        keyframe = look_into(bundle)
        if not keyframe.has_frames:
            raise UserError(f"{name}: {bundle.where} has no rgb.mp4 and no left images (a single-frame keyframe?)")
        odd = [f"keyframes of data set {dataset} count from 1 here; this one is called keyframe{number + 1}"]
        return keyframe, odd if renamed else []

    def _items(self, sequence: str, only: Container[int] | None) -> Iterator[SourceFrame | BadFrame]:
        info = self.describe(sequence)
        keyframe, _ = self._keyframe(info.name)
        poses = Poses(keyframe)
        calibration = calibrated_intrinsics(keyframe.bundle)
        with contextlib.closing(_colour(keyframe)) as colour, _depth(keyframe) as depth:
            end = 0
            for index, image in colour:
                yield from _missing(range(end, index), only, "no image has its number")
                end = index + 1
                if only is not None and index not in only:
                    continue
                try:
                    rgb = _left_view(image if isinstance(image, np.ndarray) else read_rgb(image))
                    height, width = rgb.shape[:2]
                    data = poses.get(index) if poses.indices else None
                    camera = calibration if data is None else data.intrinsics
                    if self._constant or camera is None:
                        intrinsics = normalised_intrinsics(ENDOVIS_CONSTANT, width, height)
                    else:
                        intrinsics = resized_intrinsics(camera, NATIVE_SIZE, (height, width))
                    yield SourceFrame(
                        frame=rgb,
                        depth_mm=None if depth is None else depth(index),
                        cam_from_world=None if data is None else data.cam_from_world,
                        intrinsics=intrinsics,
                        frame_index=index,
                        sequence=info.name,
                    )
                except Unreadable as error:
                    yield BadFrame(index, str(error))
            # Frames that have a pose or were announced by the video's header, but are missing from the video.
            announced = max([info.frames, *(index + 1 for index in poses.indices[-1:])])
            yield from _missing(range(end, announced), only, f"the images end before it, after frame {end - 1}")


def _missing(indices: range, only: Container[int] | None, reason: str) -> Iterator[BadFrame]:
    return (BadFrame(index, reason) for index in indices if only is None or index in only)


def _colour_facts(keyframe: Keyframe) -> tuple[int, tuple[int, int], list[str]]:
    """Returns the number of frames, (height, width) of the left view, and anything unusual about them."""
    odd = []
    if keyframe.images is None:
        with keyframe.bundle.local(VIDEO) as path:
            video = _open_video(keyframe, path)
            count, (height, width) = video.count or 0, video.size
        if height <= width:
            odd.append(f"rgb.mp4 is {width}x{height}, not two stacked views; taken as the left view alone")
    else:
        count, first = len(keyframe.images), min(keyframe.images)
        try:
            height, width = read_rgb(keyframe.images[first]).shape[:2]
        except Unreadable as error:
            raise UserError(f"{keyframe.bundle.where}: {error}; extract it anew") from error
        if height > width:
            odd.append(f"images are {width}x{height}, two stacked views; cut to the upper (left) one")
        if first - _first_number(keyframe.images) != 0:
            odd.append(f"images begin at {keyframe.images[first].name}")
        gaps = max(keyframe.images) - first + 1 - count
        if gaps:
            odd.append(f"{gaps} numbers are missing among the images")
    return count, (height // 2 if height > width else height, width), odd


def _colour(keyframe: Keyframe) -> Generator[tuple[int, np.ndarray | Path]]:
    """Yields (raw frame index, decoded frame or the file of an image) in order, until the video breaks off."""
    if keyframe.images is not None:
        first = _first_number(keyframe.images)
        for number, path in keyframe.images.items():
            yield number - first, path
        return
    with keyframe.bundle.local(VIDEO) as path, contextlib.suppress(ReadingStopped):
        for frame in _open_video(keyframe, path):
            yield frame.index, frame.rgb


def _open_video(keyframe: Keyframe, path: Path) -> VideoFile:
    try:
        return VideoFile(path)
    except UserError as error:
        raise UserError(f"{keyframe.bundle.where}/{VIDEO}: truncated or no video; download it again") from error


def _first_number(images: dict[int, Path]) -> int:
    """Returns the file number of frame 0: ffmpeg numbers images from 1, other tools from 0.

    Depth and poses count from 0 in every copy; image n of a folder that counts from 1 belongs to depth n - 1.
    """
    return 0 if 0 in images else 1


def _left_view(image: np.ndarray) -> np.ndarray:
    """Returns the upper half of two stacked views (taller than wide), other images whole."""
    height, width = image.shape[:2]
    return np.ascontiguousarray(image[: height // 2]) if height > width else image


@contextlib.contextmanager
def _depth(keyframe: Keyframe):
    """Yields a function from ascending frame indices to depth, or None without depth."""
    if keyframe.depth_files is not None:
        files = keyframe.depth_files

        def from_folder(index: int) -> np.ndarray:
            if index not in files:
                raise Unreadable("scene_points has no file for it")
            return read_z_map(files[index], files[index].name)

        yield from_folder
    elif keyframe.depth_archive is not None:
        with keyframe.bundle.open(keyframe.depth_archive) as file:
            archive = OrderedArchive(file, Path(keyframe.depth_archive).name, DEPTH_PATTERN, read_z_map)
            try:
                yield archive.get
            finally:
                archive.close()
    else:
        yield None
