"""Where a user's own sequences lie below a path."""

import dataclasses
from pathlib import Path

from endodav_jax.data.sources.decode import IMAGE_SUFFIXES, numbered_files
from endodav_jax.errors import UserError
from endodav_jax.video.frame_masks import is_named_masks
from endodav_jax.video.image_files import images_in

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv", ".ts", ".h264")
COMPANIONS = ("depth", "masks", "sparse")  # folders beside frames that are no sequences


@dataclasses.dataclass(frozen=True)
class SequencePlace:
    """Where a sequence lies: its video or its images by number, and the folder of its companions (None: none)."""

    video: Path | None
    images: dict[int, Path]
    beside: Path | None


def find_sequences(root: Path) -> dict[str, SequencePlace]:
    """Returns the sequences below a path by name; one is called after its folder or video.

    Raises:
      UserError: there are none.
    """
    if root.is_file():
        if root.suffix.lower() in IMAGE_SUFFIXES:
            raise UserError(f"{root}: one image is no sequence; give its folder or a video")
        return {root.stem: SequencePlace(root, {}, None)}
    if not root.is_dir():
        raise UserError(f"{root}: no such video or folder")
    own = _folder_of_images(root)
    if own is not None:
        return {root.resolve().name: own}
    found = {}
    for path in sorted(root.iterdir()):
        companion = path.name in COMPANIONS or is_named_masks(path)
        place = _sequence_at(path) if path.is_dir() and not companion else None
        if place is not None:
            found[path.name] = place
    videos = _videos(root)
    if len(videos) == 1 and not found:
        return {videos[0].stem: SequencePlace(videos[0], {}, root)}
    for path in videos:
        found.setdefault(path.stem, SequencePlace(path, {}, None))
    if not found:
        raise UserError(f"{root}: holds no images, no videos and no folders of them")
    return found


def _sequence_at(folder: Path) -> SequencePlace | None:
    """Returns the sequence that a folder is: its images, or its only video."""
    videos = _videos(folder)
    return _folder_of_images(folder) or (SequencePlace(videos[0], {}, folder) if len(videos) == 1 else None)


def _folder_of_images(folder: Path) -> SequencePlace | None:
    """Returns the sequence of the images in `frames/` or `images/` of a folder or in itself."""
    for name in ("frames", "images", "."):
        inner = folder / name
        images = _images(inner) if inner.is_dir() else {}
        if images:
            return SequencePlace(None, images, folder)
    return None


def _images(folder: Path) -> dict[int, Path]:
    """Returns images by the last number in their names, by position where some have none; masks are no frames."""
    paths = [path for path in images_in(folder) if path.stem != "mask"]
    by_name = numbered_files(folder, IMAGE_SUFFIXES) if len({path.suffix.lower() for path in paths}) == 1 else {}
    return by_name if len(by_name) == len(paths) else dict(enumerate(paths))


def _videos(folder: Path) -> list[Path]:
    """Returns the videos of a folder that are no videos of masks."""
    videos = (path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    return sorted(path for path in videos if not is_named_masks(path))


def file_beside(place: SequencePlace, names: tuple[str, ...]) -> Path | None:
    if place.beside is None:
        return None
    return next((path for name in names if (path := place.beside / name).exists()), None)
