"""A camera's fx, fy, cx, cy as the user gives them."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.files import DAMAGED_NPZ, open_npz, read_text
from endodav_jax.geometry.pixels import Size, intrinsics_of, resized_intrinsics
from endodav_jax.video.frames import SQUARE

# Endoscopes see 60 to 140 degrees; 0.82 of the width (63 degrees across) is what the published training on SCARED uses.
GUESSED_FOCAL = 0.82
# Monodepth2 and its descendants write K divided by the image size; no focal length in pixels is this small.
NORMALISED_BELOW = 5.0


def read_intrinsics(text: str, full_size: Size, size: Size, name: str = "") -> np.ndarray:
    """Reads `fx,fy,cx,cy` or a file, for frames of `full_size`, and returns them for frames resized to `size`.

    Two numbers are fx and fy, with the principal point at the centre of the frame.
    Files: text with 4 numbers or a 3x3 matrix; .npy of either; .npz with one of them under `intrinsics` or `K`;
    .json with `fx`, `fy`, `cx`, `cy` or one of them under `intrinsics`, `K` or `camera_matrix`.  Pixels: integer
    coordinates are pixel centres.  Numbers that are all below 5 are taken as fractions of width and height.

    Args:
      text: see above.
      full_size: (height, width).
      size: (height, width).
      name: what messages call it; by default `text` itself.

    Returns:
      float64 [4], (fx, fy, cx, cy).

    Raises:
      UserError: the file is unreadable, there are not 4 or 9 numbers, a focal length is not positive, or the
        principal point is far outside the frames.
    """
    try:
        numbers = np.array([float(part) for part in text.split(",")])
    except ValueError:
        numbers = _read_file(Path(text))
    if numbers.size == 9:
        numbers = intrinsics_of(numbers.reshape(3, 3))
    if numbers.size == 2:
        numbers = np.append(numbers, [(full_size[1] - 1) / 2, (full_size[0] - 1) / 2])
    if numbers.size != 4:
        raise UserError(f"--intrinsics {name or text}: holds {numbers.size} numbers; give fx,fy,cx,cy or a 3x3 matrix")
    numbers = numbers.reshape(4)
    if not np.isfinite(numbers).all() or (numbers[:2] <= 0).any():
        raise UserError(f"--intrinsics {name or text}: fx and fy must be positive numbers")
    if (np.abs(numbers) < NORMALISED_BELOW).all():
        numbers = numbers * np.array([full_size[1], full_size[0]] * 2)
    check_principal_point(numbers, full_size, f"--intrinsics {name or text}")
    return resized_intrinsics(numbers, full_size, size)


def check_principal_point(intrinsics: np.ndarray, size: Size, name: str) -> None:
    """Raises `UserError` if the principal point lies far outside frames of `size`, which are another camera's then.

    A picture cut out of a larger one may not hold it, so a margin of half a frame on every side is accepted.
    """
    cx, cy = intrinsics[2:]
    height, width = size
    if not (-0.5 * width <= cx <= 1.5 * width and -0.5 * height <= cy <= 1.5 * height):
        raise UserError(
            f"{name}: the principal point ({cx:.5g}, {cy:.5g}) is far outside the frames, which are {width}x{height}; "
            "give the camera of these frames"
        )


def guessed_intrinsics(size: Size, pixel_aspect: Fraction = SQUARE) -> np.ndarray:
    """Returns a guess, float64 [4] in pixels: a focal length of `GUESSED_FOCAL` of the frame's longer displayed side.

    The principal point is the centre of the frame.

    Args:
      size: (height, width) of the frame.
      pixel_aspect: width over height of a pixel.
    """
    aspect = float(pixel_aspect)
    focal = GUESSED_FOCAL * max(size[0], size[1] * aspect)  # in units of the pixel height
    return np.array([focal / aspect, focal, (size[1] - 1) / 2, (size[0] - 1) / 2])


def _read_file(path: Path) -> np.ndarray:
    try:
        return np.asarray(_values_in(path), np.float64)
    except OSError as error:
        raise UserError(
            f"--intrinsics {path}: cannot be read ({error.strerror}); give fx,fy,cx,cy or a file"
        ) from error
    except DAMAGED_NPZ as error:
        raise UserError(f"--intrinsics {path}: not numbers; give fx,fy,cx,cy or a file with a 3x3 matrix") from error


def _values_in(path: Path):
    match path.suffix.lower():
        case ".npy":
            return np.load(path, allow_pickle=False)
        case ".npz":
            with open_npz(path) as file:
                return _named(dict(file), path)
        case ".json":
            return _named(json.loads(_text(path)), path)
    lines = [line for line in _text(path).splitlines() if line.split("#")[0].strip()]
    if not lines:
        raise UserError(f"--intrinsics {path}: is empty; give fx,fy,cx,cy or a file with a 3x3 matrix")
    return np.loadtxt(lines, delimiter="," if "," in lines[0] else None)


def _text(path: Path) -> str:
    return read_text(path, "give fx,fy,cx,cy or a file", f"--intrinsics {path}")


def _named(values: dict, path: Path):
    for key in ("intrinsics", "K", "camera_matrix"):
        if key in values:
            return values[key]
    try:
        return [values[key] for key in ("fx", "fy", "cx", "cy")]
    except KeyError as error:
        raise UserError(f"--intrinsics {path}: has neither `intrinsics` nor `K` nor fx, fy, cx, cy") from error
