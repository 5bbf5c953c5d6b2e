"""Images as frames: found by folder or pattern, in natural order, and read upright as 8-bit RGB."""

import contextlib
import glob
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

from endodav_jax.errors import UserError
from endodav_jax.video.frames import SQUARE, Frame, ReadingStopped
from endodav_jax.video.header import DEFAULT_FPS
from endodav_jax.video.image_order import in_order
from endodav_jax.video.image_stack import ONE, TIFF_SUFFIXES, Pages, contiguous_frames, pages_of, seconds_of_pages
from endodav_jax.video.jpeg2000 import deep_colour
from endodav_jax.video.tiff_pixels import (
    bright_is_high,
    can_decode,
    has_known_colours,
    in_planes,
    is_deep,
    meant_values,
    stored_size,
)
from endodav_jax.video.upright import over_black

SUFFIXES = (".bmp", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff",
            ".webp")  # fmt: skip
# Subfolders of a sequence that may hold its frames, in this order.
FRAME_FOLDERS = ("frames", "images", "color", "colour", "rgb", "image", "imgs", "img")
EXIF_ORIENTATION = 0x0112
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap height and width
# A damaged header may announce any size; no camera produces more than this.
LARGEST_IMAGE = 1 << 27

# What Pillow and tifffile raise for damaged files, by format.
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError,
                    ZeroDivisionError, MemoryError, RuntimeError, struct.error, zlib.error,
                    Image.DecompressionBombError)  # fmt: skip


class ImageSequence:
    """A `FrameSource` for images of one size; in files that hold several images, each is a frame."""

    pixel_aspect = SQUARE

    def __init__(self, paths: Sequence[Path], name: str, stem: str, notes: Sequence[str] = ()):
        """Reads the header of every image, so that a mismatch is found before any work is done.

        Args:
          notes: what the user should know about how the images were chosen.

        Raises:
          UserError: there are no images, a file is not an image, or sizes differ.
        """
        if not paths:
            raise UserError(f"{name}: holds no images ({', '.join(SUFFIXES)}); name a video or another folder")
        self.paths, self.name, self.stem, self.notes = list(paths), name, stem, list(notes)
        self.size, first = _header(self.paths[0])
        self.pages = [first]
        for path in self.paths[1:]:
            size, pages = _header(path)
            if size != self.size:
                raise UserError(
                    f"{path}: is {size[1]}x{size[0]} and {self.paths[0].name} is {self.size[1]}x{self.size[0]}; "
                    "keep images of one size in a folder"
                )
            self.pages.append(pages)
        self.count = sum(map(len, self.pages))
        self._times = _times_of_stack(self.paths[0], first) if len(self.paths) == 1 else None
        self.timed = self._times is not None
        self.fps = DEFAULT_FPS
        if self._times is not None:
            self.fps = (self.count / Fraction(self._times[-1]).limit_denominator(100000)).limit_denominator(1001)
        left_out = {path.name: pages.left_out for path, pages in zip(self.paths, self.pages, strict=True)}
        left_out = {name: count for name, count in left_out.items() if count}
        if left_out:
            names = ", ".join(f"{name} ({count})" for name, count in left_out.items())
            self.notes.append(f"previews, masks and second views stored beside an image are left out: {names}")

    @property
    def about(self) -> dict:
        """The number of files that hold the images, if it is not one image per file."""
        return {"files": len(self.paths)} if self.count != len(self.paths) else {}

    def __iter__(self) -> Iterator[Frame]:
        """Yields the images in order.

        Raises:
          ReadingStopped: an image cannot be decoded; those before it were good.
        """
        index = 0
        for path, pages in zip(self.paths, self.pages, strict=True):
            images = _images_of(path, pages)
            for _ in range(len(pages)):
                try:
                    rgb = next(images)
                except UserError as error:
                    if index == 0:
                        raise
                    raise ReadingStopped(f"reading stopped after {index} of {self.count} images: {error}") from error
                if rgb.shape[:2] != self.size:
                    raise ReadingStopped(f"{path}: its size is not that of its header; save it anew or take it out")
                yield Frame(rgb, index, index / float(self.fps) if self._times is None else self._times[index])
                index += 1

    def samples(self, count: int) -> list[np.ndarray]:
        """Returns up to `count` images spread over the sequence; damage is reported when all images are read.

        Raises:
          UserError: none of them can be read.
        """
        places = np.unique(np.linspace(0, self.count - 1, count).round().astype(int))
        found, damage = [], None
        if self.count == len(self.paths):
            for place in places:
                try:
                    found.append(read_rgb(self.paths[place]))
                except UserError as error:
                    damage = damage or error
        else:
            try:
                found.extend(frame.rgb for frame in self if frame.index in places)
            except ReadingStopped as stopped:
                damage = stopped
        if not found and damage is not None:
            raise damage
        return found


def images_in(folder: Path) -> list[Path]:
    """Returns the images of a folder (not of its subfolders) in natural order, without hidden files."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return in_order(path for path in found if path.is_file())


def images_matching(pattern: str) -> list[Path]:
    """Returns the images that a shell pattern (`**` for any depth) matches, in natural order."""
    return in_order(path for path in matching(pattern) if path.suffix.lower() in SUFFIXES)


def matching(pattern: str) -> list[Path]:
    """Returns what a shell pattern matches; `**` follows no links, which may lead back to where they are."""
    path = Path(pattern)
    if "**" not in path.parts:
        return [Path(found) for found in glob.glob(pattern)]
    named = set(path.parts)
    found_below = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    return [found for found in found_below if not any(part[0] == "." and part not in named for part in found.parts)]


def frames_in(path: Path) -> int:
    """Returns the number of frames in an image file, 1 if it cannot be read."""
    try:
        return len(_header(path)[1])
    except UserError:
        return 1


def read_rgb(path: Path) -> np.ndarray:
    """Reads an image as uint8 [H, W, 3]: rotated by its EXIF orientation, palette and grey expanded, 16 bits scaled
    from 0..65535 to 0..255, alpha composited over black.  If a file holds several, the first is read.

    Raises:
      UserError: missing, damaged, or with floating-point values, whose range is unknown.
    """
    return next(_images_of(path, ONE))


def _images_of(path: Path, pages: Pages) -> Iterator[np.ndarray]:
    """Yields the frames of a file, uint8 [H, W, 3]."""
    if pages.channels > 1:
        single = _images_of(path, Pages(pages.numbers))
        for _ in range(len(pages)):
            yield np.stack([next(single)[..., 0] for _ in range(pages.channels)], axis=-1)
        return
    try:
        if pages.contiguous:
            for values in contiguous_frames(path):
                yield _array_as_rgb(values, path)
            return
        with contextlib.ExitStack() as opened:
            stored = opened.enter_context(_opened(path))
            _check_size(path, *stored.size)
            tiff = None
            for number in pages.numbers:
                with _hushed():
                    if number != stored.tell():
                        stored.seek(number)
                    if is_deep(stored):
                        tiff = tiff or opened.enter_context(tifffile.TiffFile(path))
                        rgb = _page_as_rgb(tiff, number, path, stored)
                    else:
                        rgb = _image_as_rgb(stored, path)
                yield rgb
    except UnidentifiedImageError as error:
        if path.suffix.lower() not in TIFF_SUFFIXES:
            raise _unreadable(path, error) from error
        try:  # tifffile reads some kinds of TIFF that Pillow does not
            with tifffile.TiffFile(path) as tiff:
                for number in pages.numbers:
                    yield _page_as_rgb(tiff, number, path)
        except _DECODING_ERRORS as fault:
            raise _unreadable(path, fault) from fault
    except _DECODING_ERRORS as error:
        raise _unreadable(path, error) from error


def _image_as_rgb(stored: Image.Image, path: Path) -> np.ndarray:
    deep = deep_colour(stored, path)
    if deep is not None:
        return _array_as_rgb(deep, path)
    image = ImageOps.exif_transpose(stored)
    if image.mode.startswith("I") or image.mode == "F":
        return _array_as_rgb(np.asarray(image), path)
    if "A" in image.getbands() or "transparency" in image.info:
        return over_black(np.asarray(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _page_as_rgb(file: tifffile.TiffFile, number: int, path: Path, stored: Image.Image | None = None) -> np.ndarray:
    """Returns a page of a TIFF as uint8 [H, W, 3].

    Args:
      stored: the page in Pillow, if that can open it: it has kinds of compression that tifffile may lack.
    """
    page = file.pages[number]
    assert isinstance(page, tifffile.TiffPage)  # whole pages, unless asked for less
    _check_size(path, page.imagewidth, page.imagelength)
    if not has_known_colours(page):
        raise UserError(f"{path}: its colours are neither grey nor RGB; save it as RGB")
    if can_decode(page):
        return _array_as_rgb(meant_values(page), path)
    if stored is None or in_planes(page):
        raise UserError(
            f"{path}: its compression cannot be read here; save it without compression, or pip install imagecodecs"
        )
    if page.samplesperpixel == 1:
        return _array_as_rgb(bright_is_high(np.asarray(ImageOps.exif_transpose(stored)), page), path)
    return _image_as_rgb(stored, path)


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


def _header(path: Path) -> tuple[tuple[int, int], Pages]:
    """Returns (height, width) after the EXIF orientation, and which images of the file are frames."""
    try:
        with _hushed(), Image.open(path) as image:
            width, height = stored_size(image)
            _check_size(path, width, height)
            # Pillow decodes a whole PNG to look for EXIF after the pixels.
            exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
            size = (width, height) if exif.get(EXIF_ORIENTATION) in TURNED else (height, width)
            return size, pages_of(path, image)
    except UnidentifiedImageError as error:
        if path.suffix.lower() not in TIFF_SUFFIXES:
            raise _unreadable(path, error) from error
        try:
            return read_rgb(path).shape[:2], pages_of(path, None)
        except _DECODING_ERRORS as fault:
            raise _unreadable(path, fault) from fault
    except _DECODING_ERRORS as error:
        raise _unreadable(path, error) from error


def _times_of_stack(path: Path, pages: Pages) -> list[float] | None:
    """Returns when each frame of an animation is shown, and when it ends; None if the files do not say."""
    try:
        with _hushed():
            seconds = seconds_of_pages(path, pages)
    except _DECODING_ERRORS:
        return None  # reading will reach the damage and stop there
    return None if seconds is None else [0.0, *np.cumsum(seconds).tolist()]


def _opened(path: Path) -> Image.Image:
    with _hushed():
        return Image.open(path)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keeps Pillow's warnings about malformed metadata off the user's screen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > LARGEST_IMAGE:
        raise UserError(f"{path}: is {width}x{height}, more than can be worked on; make it smaller, or replace it")


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: no such file; check the path")
    if isinstance(error, PermissionError):
        return UserError(f"{path}: cannot be opened (permission denied); check its permissions")
    return UserError(f"{path}: not an image that can be decoded; replace it or take it out")
