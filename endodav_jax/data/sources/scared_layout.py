"""Where a copy of SCARED keeps its keyframes: raw download (zip or unpacked), EndoDAV/EndoDAC or AF-SfMLearner.

Folders are `dataset_7/keyframe_4` in the download and `dataset7/keyframe4` in every prepared copy, with or without
`train/` and `test/` above them; unpacking a zip file may put a folder of its own name around its contents.
"""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from endodav_jax.data.sources.bundle import Bundle, FolderBundle, ZipBundle, zip_names
from endodav_jax.data.sources.decode import IMAGE_SUFFIXES, numbered_files
from endodav_jax.errors import UserError

VIDEO = "data/rgb.mp4"
CALIBRATION = "endoscope_calibration.yaml"
# Folders of left images, of depth and of poses, and the archives of the download; the first that exists is read.
_IMAGES = ("data/left", "image_02/data")
_DEPTH_FOLDERS = ("data/scene_points", "image_02/data/groundtruth")
_POSE_FOLDERS = ("data/frame_data", "image_02/data/frame_data")
_DEPTH_ARCHIVES = ("data/scene_points.tar.gz", "data/scene_points.tar")
_POSE_ARCHIVES = ("data/frame_data.tar.gz", "data/frame_data.tar")

_DATASET = r"(?:train_|test_)?dataset_?(\d+)"
_KEYFRAME = r"keyframe_?(\d+)"


@dataclasses.dataclass(frozen=True)
class Keyframe:
    """A keyframe's folder and which of its parts there are.

    Attributes:
      bundle: the folder.
      images: left images by number, or None where the video is to be read.
      has_video: `data/rgb.mp4` is there.
      depth_files: depth maps by number, or None.
      depth_archive: name of the archive of depth maps, or None.
      pose_files: JSON files by number, or None.
      pose_archive: name of the archive of JSON files, or None.
    """

    bundle: Bundle
    images: dict[int, Path] | None
    has_video: bool
    depth_files: dict[int, Path] | None
    depth_archive: str | None
    pose_files: dict[int, Path] | None
    pose_archive: str | None

    @property
    def layout(self) -> str:
        """Which form of the data set this is, in words."""
        if self.images is None:
            return "download (zip)" if isinstance(self.bundle, ZipBundle) else "download"
        return "AF-SfMLearner" if self.bundle.folder(_IMAGES[0]) is None else "EndoDAV/EndoDAC"

    @property
    def has_frames(self) -> bool:
        """Whether it has colour frames at all (single-frame keyframes have none)."""
        return self.images is not None or self.has_video


def find_keyframes(root: Path) -> dict[tuple[int, int], Bundle]:
    """Returns every keyframe's folder below a root, by numbers of data set and keyframe; unpacked ones come first.

    Raises:
      UserError: the root is missing, or a zip file in it is damaged.
    """
    if not root.exists():
        raise UserError(f"{root}: no such folder; give the folder that holds dataset_1 or dataset_1.zip")
    if root.is_file():
        return dict(_zip_keyframes(root))
    found: dict[tuple[int, int], Bundle] = {}
    for dataset, folder in _datasets(root):
        for keyframe in sorted(folder.iterdir()):
            match = re.fullmatch(_KEYFRAME, keyframe.name)
            if match and keyframe.is_dir():
                found.setdefault((dataset, int(match[1])), FolderBundle(keyframe))
    for folder in (root, root / "train", root / "test"):
        for path in sorted(folder.glob("*.zip")) if folder.is_dir() else ():
            if re.search(_DATASET, path.stem):
                for key, bundle in _zip_keyframes(path):
                    found.setdefault(key, bundle)
    return found


def look_into(bundle: Bundle) -> Keyframe:
    """Returns what a keyframe's folder holds."""
    images = _numbered(bundle, _IMAGES, IMAGE_SUFFIXES)
    return Keyframe(
        bundle=bundle,
        images=images,
        has_video=bundle.has(VIDEO),
        depth_files=_numbered(bundle, _DEPTH_FOLDERS, (".tiff", ".tif", ".npy")),
        depth_archive=next(filter(bundle.has, _DEPTH_ARCHIVES), None),
        pose_files=_numbered(bundle, _POSE_FOLDERS, (".json",)),
        pose_archive=next(filter(bundle.has, _POSE_ARCHIVES), None),
    )


def renamed_keyframes(found: dict[tuple[int, int], Bundle], dataset: int) -> bool:
    """Whether keyframes 0-3 of data set 8 or 9 are called 1-4 here, as AF-SfMLearner asks its users to do.

    In the download keyframe 4 is a single frame without data, so frames in it, or images in AF-SfMLearner's
    folders, without a keyframe 0 mean that they were renamed.
    """
    if dataset < 8 or (dataset, 0) in found:
        return False
    last = found.get((dataset, 4))
    if last is not None and look_into(last).has_frames:
        return True
    return any(bundle.folder(_IMAGES[1]) is not None for key, bundle in found.items() if key[0] == dataset)


def _numbered(bundle: Bundle, folders: tuple[str, ...], suffixes: tuple[str, ...]) -> dict[int, Path] | None:
    for name in folders:
        folder = bundle.folder(name)
        files = numbered_files(folder, suffixes) if folder is not None else None
        if files:
            return files
    return None


def _datasets(root: Path) -> Iterator[tuple[int, Path]]:
    """Yields (number, folder) of the data sets below a root, also when the root is one, or one lies in another."""
    candidates = [root]
    for folder in (root, root / "train", root / "test"):
        candidates += sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    for path in candidates:
        match = re.fullmatch(_DATASET, path.name)
        if match:
            yield int(match[1]), path
            nested = path / path.name
            if nested.is_dir():
                yield int(match[1]), nested


def _zip_keyframes(path: Path) -> Iterator[tuple[tuple[int, int], Bundle]]:
    names = zip_names(path)
    of_file = re.search(_DATASET, path.stem)
    prefixes = {match[0] for name in names if (match := re.match(rf"(?:.*/)?{_KEYFRAME}/", name))}
    for prefix in sorted(prefixes):
        dataset = re.search(_DATASET, prefix) or of_file
        keyframe = re.search(rf"{_KEYFRAME}/$", prefix)
        if dataset and keyframe:
            yield (int(dataset[1]), int(keyframe[1])), ZipBundle(path, prefix, names)
