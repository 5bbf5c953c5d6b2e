"""Images as frames: found by folder or pattern, in natural order, upright, as 8-bit RGB."""

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

from endodav_jax.errors import UserError
from endodav_jax.video.frames import Frame, ReadingStopped
from endodav_jax.video.video_file import DEFAULT_FPS, over_black

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
EXIF_ORIENTATION = 0x0112
TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width

# What Pillow raises for damaged files, by format.
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class ImageSequence:
    """A `FrameSource` of images of one size."""

    timed = False

    def __init__(self, paths: Sequence[Path], name: str, stem: str):
        """Looks at the header of every image, so that a misfit is known before any work.

        Raises:
          UserError: no images, one that is no image, or sizes that differ.
        """
        if not paths:
            raise UserError(f"{name}: holds no images ({', '.join(SUFFIXES)}); name a video or another folder")
        self.paths, self.name, self.stem = list(paths), name, stem
        self.fps, self.count = DEFAULT_FPS, len(self.paths)
        self.size = _upright_size(self.paths[0])
        for path in self.paths[1:]:
            size = _upright_size(path)
            if size != self.size:
                raise UserError(
                    f"{path}: is {size[1]}x{size[0]} and {self.paths[0].name} is {self.size[1]}x{self.size[0]}; "
                    "keep images of one size in a folder"
                )

    def __iter__(self) -> Iterator[Frame]:
        """Yields the images in order.

        Raises:
          ReadingStopped: one cannot be decoded; those before it were good.
        """
        for index, path in enumerate(self.paths):
            try:
                rgb = read_rgb(path)
            except UserError as error:
                if index == 0:
                    raise
                raise ReadingStopped(f"reading stopped after {index} of {self.count} images: {error}") from error
            if rgb.shape[:2] != self.size:
                raise ReadingStopped(f"{path}: its size is not that of its header; save it anew or take it out")
            yield Frame(rgb, index, index / float(self.fps))

    def samples(self, count: int) -> list[np.ndarray]:
        """Returns up to `count` images spread over the sequence."""
        places = np.unique(np.linspace(0, self.count - 1, count).round().astype(int))
        return [read_rgb(self.paths[i]) for i in places]


def natural_order(path: Path) -> list:
    """A sorting key by which `frame2` comes before `frame10`."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", str(path))]


def images_in(folder: Path) -> list[Path]:
    """Returns the images of a folder (not of its subfolders) in natural order, hidden files left out."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(found, key=natural_order)


def images_matching(pattern: str) -> list[Path]:
    """Returns the images that a shell pattern (`**` for any depth) matches, in natural order."""
    found = (Path(path) for path in glob.glob(pattern, recursive=True))
    return sorted((path for path in found if path.suffix.lower() in SUFFIXES), key=natural_order)


def read_rgb(path: Path) -> np.ndarray:
    """Reads an image as uint8 [H, W, 3]: turned by its EXIF orientation, palette and grey expanded, 16 bits scaled
    from 0..65535 to 0..255, alpha laid over black.

    Raises:
      UserError: missing, damaged, or with floating-point values, whose range nothing tells.
    """
    try:
        with Image.open(path) as stored:
            image = ImageOps.exif_transpose(stored)
            if image.mode.startswith("I") or image.mode == "F":
                return _array_as_rgb(np.asarray(image), path)
            if "A" in image.getbands() or "transparency" in image.info:
                return over_black(np.asarray(image.convert("RGBA")))
            return np.array(image.convert("RGB"))
    except UnidentifiedImageError as error:
        if _is_tiff(path):  # Pillow knows no colour TIFFs of 16 bits
            return _array_as_rgb(_read_tiff(path), path)
        raise _unreadable(path, error) from error
    except _DECODING_ERRORS as error:
        raise _unreadable(path, error) from error


def _read_tiff(path: Path) -> np.ndarray:
    """Returns the first page of a TIFF, [H, W] or [H, W, C]."""
    try:
        page = tifffile.imread(path, key=0)
    except (OSError, ValueError, ImportError) as error:
        raise _unreadable(path, error) from error
    planar = page.ndim == 3 and page.shape[0] in (3, 4) and page.shape[-1] not in (3, 4)
    return np.moveaxis(page, 0, -1) if planar else page


def _array_as_rgb(values: np.ndarray, path: Path) -> np.ndarray:
    """Returns uint8 [H, W, 3] of an integer array [H, W] or [H, W, 1 | 3 | 4]."""
    if values.dtype.kind == "b":
        values = values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "ui" or values.min() < 0 or values.max() > 65535:
        raise UserError(f"{path}: holds {values.dtype} values of no known range; save it with 8 or 16 bits")
    if values.dtype != np.uint8:
        values = ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if values.ndim == 2:
        values = values[..., None]
    if values.shape[-1] == 4:
        return over_black(values)
    return np.ascontiguousarray(np.broadcast_to(values[..., :3], (*values.shape[:2], 3)))


def _upright_size(path: Path) -> tuple[int, int]:
    """Returns (height, width) after the EXIF orientation, from the header alone."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            # Pillow decodes a whole PNG to look for EXIF behind the pixels.
            exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
            return (width, height) if exif.get(EXIF_ORIENTATION) in TURNED else (height, width)
    except UnidentifiedImageError as error:
        if _is_tiff(path):
            return read_rgb(path).shape[:2]
        raise _unreadable(path, error) from error
    except _DECODING_ERRORS as error:
        raise _unreadable(path, error) from error


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: no such file; check the path")
    if isinstance(error, PermissionError):
        return UserError(f"{path}: cannot be opened (permission denied); check its permissions")
    return UserError(f"{path}: not an image that can be decoded; replace it or take it out")
