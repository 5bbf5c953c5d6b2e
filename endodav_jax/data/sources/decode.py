"""Decodes files to arrays: colour images, 16-bit depth, TIFF point maps; `Unreadable` is raised for the rest."""

import io
import re
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tifffile import TiffFile

from endodav_jax.errors import UserError
from endodav_jax.video import image_files

IMAGE_SUFFIXES = image_files.SUFFIXES


class Unreadable(Exception):
    """A file of one frame is missing or damaged; the text names the file, worded to follow 'SEQUENCE, frame N:'."""


def numbered_files(folder: Path, suffixes: tuple[str, ...], pattern: str = r"(\d+)\D*$") -> dict[int, Path]:
    """Returns a folder's files by the number in their name (by default the last), in ascending order.

    Ascending by number, not by name: `10.png` comes after `9.png`.

    Raises:
      UserError: two files have the same number.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        match = re.search(pattern, path.stem)
        if path.suffix.lower() not in suffixes or path.name.startswith(".") or match is None:
            continue
        number = int(match[1])
        if number in found:
            raise UserError(f"{folder}: {found[number].name} and {path.name} have the same number; remove one")
        found[number] = path
    return dict(sorted(found.items()))


def read_rgb(path: Path) -> np.ndarray:
    """Returns an image as uint8 [H, W, 3] (`video.image_files.read_rgb`).

    Raises:
      Unreadable: missing, truncated, or no image.
    """
    try:
        return image_files.read_rgb(path)
    except UserError as error:
        raise Unreadable(f"{path.name} is missing, truncated or no image") from error


def read_mask(path: Path) -> np.ndarray:
    """Returns an image's first channel as bool [H, W], true above half of the 8-bit range."""
    return np.asarray(_decode_image(path).convert("L")) > 127


def read_uint16(path: Path) -> np.ndarray:
    """Returns a single-channel 8- or 16-bit image (PNG or TIFF) with its integers untouched, [H, W].

    Raises:
      Unreadable: missing, truncated, or more than one channel.
    """
    if path.suffix.lower() in (".tif", ".tiff"):
        values = _tiff_array(path, path.name)
    else:
        values = np.asarray(_decode_image(path))
    if values.ndim != 2 or values.dtype.kind not in "ui":
        raise Unreadable(f"{path.name} holds {values.dtype} {values.shape}; wanted one channel of integers")
    return values


def read_rgb16(path: Path) -> np.ndarray:
    """Returns a 16-bit RGB or RGBA PNG as uint8 [H, W, 3] (rounded), which Pillow cannot read in full."""
    data = _bytes(path)
    if b"IEND" not in data[-16:]:
        raise Unreadable(f"{path.name} is truncated")
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise Unreadable(f"{path.name} is not an image")
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    rgb = values[..., 2::-1]
    return rgb if rgb.dtype == np.uint8 else np.round(rgb / 257.0).astype(np.uint8)


def read_z_map(source: Path | bytes, name: str) -> np.ndarray:
    """Returns the Z of the left view of a point map: float32 [H, W], mm, 0 where invalid.

    A TIFF of float32 [H, W, 3] holds X, Y, Z in that order (OpenCV, which reads BGR, shows Z as channel 0).  Two
    views are stacked when the map is taller than wide, the left one on top, and only its rows are read.  Invalid is
    0 in sequences and nan in keyframe maps; both become 0, and so does all that is not in front of the camera.
    An `.npy` of [H, W] or [H, W, 3] is read in the same way.

    Args:
      source: the file, or its bytes.
      name: of the file, for messages.

    Raises:
      Unreadable: missing, truncated or of another shape.
    """
    points = _npy_array(source, name) if name.endswith(".npy") else _tiff_array(source, name)
    if points.ndim not in (2, 3) or (points.ndim == 3 and points.shape[2] != 3) or points.dtype.kind != "f":
        raise Unreadable(f"{name} holds {points.dtype} {points.shape}; wanted floats of [H, W, 3] (X, Y, Z) or [H, W]")
    height = points.shape[0] // 2 if points.shape[0] > points.shape[1] else points.shape[0]
    return valid_depth(points[:height] if points.ndim == 2 else points[:height, :, 2])


def read_float_map(path: Path) -> np.ndarray:
    """Returns a depth map [H, W] of floats or integers from `.npy` or TIFF, as stored.

    Raises:
      Unreadable: missing, truncated, or more than one channel.
    """
    values = (_npy_array if path.suffix.lower() == ".npy" else _tiff_array)(path, path.name)
    if values.ndim != 2 or values.dtype.kind not in "fui":
        raise Unreadable(f"{path.name} holds {values.dtype} {values.shape}; wanted one channel of numbers")
    return values


def valid_depth(depth: np.ndarray) -> np.ndarray:
    """Returns depth as float32, with 0 for values that are not finite and positive."""
    depth = np.array(depth, np.float32)
    depth[~(np.isfinite(depth) & (depth > 0))] = 0
    return depth


def _tiff_array(source: Path | bytes, name: str) -> np.ndarray:
    """The first page of a TIFF; uncompressed pages are mapped, so that only what is used is read."""
    if isinstance(source, Path) and not source.is_file():
        raise Unreadable(f"{name} is missing")
    try:
        # A TiffFile lives in a reference cycle: its file must be closed, or bytes pile up until the next collection.
        with open(source, "rb") if isinstance(source, Path) else io.BytesIO(source) as file, TiffFile(file) as tiff:
            page = tiff.pages[0]
            if not page.is_memmappable:
                return page.asarray()
            dtype = np.dtype(page.dtype).newbyteorder(tiff.byteorder)
            shape, offset = page.shape, page.dataoffsets[0]
        if isinstance(source, Path):
            return np.memmap(source, dtype, "r", offset, shape)
        return np.frombuffer(source, dtype, int(np.prod(shape)), offset).reshape(shape)
    except Exception as error:  # tifffile raises whatever struct, zlib and mmap raise
        raise Unreadable(f"{name} is truncated or no TIFF ({_one_line(error)})") from error


def _npy_array(source: Path | bytes, name: str) -> np.ndarray:
    try:
        if isinstance(source, Path):
            return np.load(source, mmap_mode="r")
        return np.load(io.BytesIO(source))
    except FileNotFoundError as error:
        raise Unreadable(f"{name} is missing") from error
    except (ValueError, EOFError, OSError) as error:
        raise Unreadable(f"{name} is truncated or no .npy file ({_one_line(error)})") from error


def _decode_image(path: Path) -> Image.Image:
    data = _bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata that Pillow rejects
            image = Image.open(io.BytesIO(data))
            image.load()
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Unreadable(f"{path.name} is truncated or no image ({_one_line(error)})") from error
    return image


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise Unreadable(f"{path.name} is missing") from error
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read ({error.strerror})") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
