"""What is known of a user's own sequence: its size and length, camera, depth files, poses, points and masks.

Which files these are, and their units: `data.sources.frames`.
"""

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np

from endodav_jax.choices import Stereo
from endodav_jax.data.sources.colmap import read_colmap
from endodav_jax.data.sources.frames_layout import SequencePlace, file_beside
from endodav_jax.data.sources.geometry_files import Geometry, read_geometry_npz
from endodav_jax.data.sources.paired_files import first_size
from endodav_jax.data.sources.trajectories import read_trajectory
from endodav_jax.errors import UserError
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.video.camera_files import read_camera
from endodav_jax.video.frame_masks import FrameMasks, masks_beside
from endodav_jax.video.frames import SQUARE, FrameSource, Reading
from endodav_jax.video.image_order import frame_numbers, in_order
from endodav_jax.video.intrinsics import check_principal_point
from endodav_jax.video.lenses import Lens
from endodav_jax.video.reader import half_window
from endodav_jax.video.video_file import VideoFile

CAMERA_FILES = tuple(f"{stem}{suffix}" for stem in ("intrinsics", "camera") for suffix in
                     (".json", ".txt", ".yaml", ".yml", ".npy"))  # fmt: skip
_DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".npy")


@dataclasses.dataclass(frozen=True)
class Given:
    """What the user names instead of the files beside a sequence; see `FramesSource`."""

    intrinsics: str | None
    depth: str | None
    poses: str | None
    world_from_cam: bool
    geometry: str | None
    masks: str
    stereo: Stereo
    reading: Reading


@dataclasses.dataclass(frozen=True)
class Known:
    """What was read beside a sequence; `lens` is for `size` (height, width), `full_size` before a view is cut out."""

    frames: int
    full_size: tuple[int, int]
    size: tuple[int, int]
    lens: Lens | None
    depths: dict[int, Path]
    geometry: Geometry
    masks: FrameMasks | None
    pixel_aspect: Fraction = SQUARE
    notes: tuple[str, ...] = ()
    lenses: dict[int, Lens] = dataclasses.field(default_factory=dict)


def read_known(place: SequencePlace, given: Given) -> Known:
    """Returns what there is of a sequence, besides its frames.

    Raises:
      UserError: a file cannot be read, or does not fit the frames.
    """
    notes: list[str] = []
    aspect = SQUARE
    if place.video is not None:
        recording = place.open(given.reading)
        full_size, aspect = recording.size, recording.pixel_aspect
        masks = _masks_of(place, recording, given)
        frames = _count(recording)
        notes = recording.notes
        numbers, names = list(range(frames)), [f"{i:06d}" for i in range(frames)]
    else:
        frames, full_size, masks = len(place.images), first_size(place.images), _masks_of(place, None, given)
        numbers, names = list(place.images), [path.name for path in place.images.values()]
    size = half_of(np.empty((*full_size, 0), np.uint8), given.stereo).shape[:2]
    camera = given.intrinsics or file_beside(place, CAMERA_FILES)
    return Known(
        frames=frames,
        full_size=full_size,
        size=size,
        lens=None if camera is None else read_camera(str(camera), size, size),
        depths=_depth_files(place, numbers, given),
        geometry=_geometry(place, numbers, names, given, size),
        masks=masks,
        pixel_aspect=aspect,
        notes=tuple(notes),
    )


def _count(recording: FrameSource) -> int:
    """Returns the number of frames that can be read: of a video by decoding it, since headers are often wrong."""
    return recording.counted() if isinstance(recording, VideoFile) else recording.count or 0


def _masks_of(place: SequencePlace, recording: FrameSource | None, given: Given) -> FrameMasks | None:
    if given.masks == "none":
        return None
    if given.masks != "auto":
        found: Path | None = Path(given.masks)
    else:
        found = masks_beside(place.video or next(iter(place.images.values())).parent)
    if found is None:
        return None
    images = [(number, path.stem) for number, path in place.images.items()]
    return FrameMasks(found, images if recording is None else recording)


def _depth_files(place: SequencePlace, numbers: list[int], given: Given) -> dict[int, Path]:
    folder = Path(given.depth) if given.depth else file_beside(place, ("depth",))
    if folder is None:
        return {}
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of depth maps")
    paths = [path for path in folder.iterdir() if path.suffix.lower() in _DEPTH_SUFFIXES]
    paths = in_order(path for path in paths if not path.name.startswith("."))
    if not paths:
        raise UserError(f"{folder}: holds no depth maps (.png, .tiff, .npy)")
    by_stem = {path.stem: number for number, path in place.images.items()}
    if all(path.stem in by_stem for path in paths):
        return {by_stem[path.stem]: path for path in paths}
    files = dict(zip(frame_numbers(paths) or range(len(paths)), paths, strict=True))
    if not set(files) & set(numbers) or (len(files) == len(numbers) and set(files) != set(numbers)):
        if len(files) != len(numbers):
            raise UserError(f"{folder}: its numbers fit no frame, and {len(files)} maps are not {len(numbers)} frames")
        return dict(zip(numbers, files.values(), strict=True))
    return files


def _geometry(
    place: SequencePlace, numbers: list[int], names: list[str], given: Given, size: tuple[int, int]
) -> Geometry:
    path = Path(given.geometry) if given.geometry else file_beside(place, ("geometry.npz",))
    model = path if path is not None and path.is_dir() else None
    if path is None and place.beside is not None:
        candidates = (place.beside / name for name in (".", "sparse", "sparse/0"))
        model = next((folder for folder in candidates if (folder / "images.txt").is_file()), None)
    if model is not None:
        geometry = read_colmap(model, names)
    elif path is not None:
        geometry = read_geometry_npz(path, len(numbers))
    else:
        geometry = Geometry()
    for intrinsics in geometry.intrinsics.values():
        check_principal_point(intrinsics, geometry.size or size, str(model or path))
    poses = Path(given.poses) if given.poses else file_beside(place, ("poses.txt",))
    if poses is not None:
        trajectory = read_trajectory(poses, numbers)
        trajectory = inverse_rigid(trajectory) if given.world_from_cam else trajectory
        geometry.cam_from_world = {k: pose for k, pose in enumerate(trajectory) if np.isfinite(pose).all()}
    return geometry


def half_of(image: np.ndarray, stereo: Stereo) -> np.ndarray:
    """Returns the wanted half of an image [H, W, C] that holds two views."""
    return np.ascontiguousarray(image[half_window(image.shape[:2], stereo)])
