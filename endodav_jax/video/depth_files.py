"""Lossless depth: one .npz per clip, or a folder with one file per frame (16-bit PNG, .npy, EXR, TIFF)."""

import contextlib
import dataclasses
import importlib.util
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.files import json_text, whole_file

PNG_LARGEST = 65535


@dataclasses.dataclass(frozen=True)
class DepthFrame:
    """One frame of the result, as passed to the writers.

    Attributes:
      index: frame number in the source.
      disparity: float32 [H, W], nonnegative, 0 outside the view.
      depth: float32 [H, W], positive, 0 outside the view.
      rgb: uint8 [H, W, 3]; None if no writer asked for it.
      shown: bool [H, W], true inside both the frame's own mask and the view; None if the frame has no mask.
    """

    index: int
    disparity: np.ndarray
    depth: np.ndarray
    rgb: np.ndarray | None = None
    shown: np.ndarray | None = None


Write = Callable[[DepthFrame], object]


def write_npz(
    path: Path,
    size: tuple[int, int],
    indices: list[int],
    maps: Mapping[str, Callable[[], Iterable[np.ndarray]]],
    fps: Fraction,
    intrinsics: np.ndarray,
) -> None:
    """Writes an .npz frame by frame, in constant memory; `np.load` reads it like any other.

    Keys: those of `maps`, float32 [N, H, W]; `fps` float64; `intrinsics` float64 [4] (fx, fy, cx, cy in pixels);
    `frame_index` int64 [N].

    Args:
      maps: for each key, a function that returns the N maps, float32 [H, W], from the first each time it is called.
    """
    with whole_file(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for key, frames in maps.items():
            # A member over 2 GiB must have its size announced before it is written.
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                header = {"descr": "<f4", "fortran_order": False, "shape": (len(indices), *size)}
                np.lib.format.write_array_header_1_0(member, header)
                for frame in frames():
                    member.write(np.ascontiguousarray(frame, "<f4").data)
        small = {"fps": np.float64(fps), "intrinsics": intrinsics, "frame_index": np.asarray(indices, np.int64)}
        for key, value in small.items():
            with archive.open(f"{key}.npy", "w") as member:
                np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)


def png_scale(deepest: float) -> float:
    """Returns the largest power of two that keeps a clip's greatest depth within 16 bits."""
    return float(2.0 ** np.floor(np.log2(PNG_LARGEST / deepest)))


@contextlib.contextmanager
def png_writer(folder: Path, scale: float, unit: str = "up to scale") -> Iterator[Write]:
    """Yields a function that writes `frame_00000.png`, uint16 round(depth * scale), 0 outside the view.

    `scale.json` in the folder records the scale, so that the files are self-contained.  Depths below one step are
    written as 1, depths above 65,535 steps as 65,535.
    """
    with whole_file(folder) as part:
        part.mkdir()
        sidecar = {"scale": scale, "depth": "value / scale", "invalid": 0, "unit": unit}
        (part / "scale.json").write_text(json_text(sidecar, indent=2))

        def write(frame: DepthFrame) -> None:
            steps = np.clip(np.rint(frame.depth * np.float64(scale)), 1, PNG_LARGEST)
            values = np.where(frame.depth > 0, steps, 0).astype(np.uint16)
            Image.fromarray(values).save(part / f"{frame_name(frame)}.png", compress_level=3)

        yield write


@contextlib.contextmanager
def npy_writer(folder: Path) -> Iterator[Write]:
    """Yields a function that writes `frame_00000.npy`, the depth as float32 [H, W]."""
    with whole_file(folder) as part:
        part.mkdir()
        yield lambda frame: save_npy(part / f"{frame_name(frame)}.npy", frame.depth)


def save_npy(file: Path, array: np.ndarray) -> None:
    """As `np.save`, whose error does not say why a file cannot be written."""
    content = io.BytesIO()
    np.save(content, array)
    file.write_bytes(content.getbuffer())


@contextlib.contextmanager
def tiff_writer(folder: Path) -> Iterator[Write]:
    """Yields a function that writes `frame_00000.tiff`, the depth as float32 [H, W]."""
    with whole_file(folder) as part:
        part.mkdir()
        yield lambda frame: tifffile.imwrite(part / f"{frame_name(frame)}.tiff", frame.depth)


def need_exr() -> None:
    """Raises a `UserError` if the optional package is missing."""
    if importlib.util.find_spec("OpenEXR") is None:
        raise UserError("--save exr: needs the package OpenEXR; install it with: pip install 'endodav-jax[exr]'")


@contextlib.contextmanager
def exr_writer(folder: Path) -> Iterator[Write]:
    """Yields a function that writes `frame_00000.exr`, the depth as channel Z, 32-bit float."""
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with whole_file(folder) as part:
        part.mkdir()

        def write(frame: DepthFrame) -> None:
            file = part / f"{frame_name(frame)}.exr"
            try:
                OpenEXR.File(header, {"Z": frame.depth}).write(str(file))
            except UnicodeError as error:
                raise UserError(f"{folder}: OpenEXR takes only names in UTF-8; rename the recording") from error
            except RuntimeError as error:
                raise UserError(
                    f"{folder}: cannot be written ({error}); free space or choose another folder"
                ) from error

        yield write


def frame_name(frame: DepthFrame) -> str:
    """Returns the stem of a frame's file, with at least five digits as in Video-Depth-Anything."""
    return f"frame_{frame.index:05d}"
