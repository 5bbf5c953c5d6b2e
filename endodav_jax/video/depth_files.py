"""Lossless depth: one .npz for the clip, or a folder with a file a frame (16-bit PNG, .npy, EXR, TIFF)."""

import contextlib
import dataclasses
import importlib.util
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.files import whole_file

PNG_LARGEST = 65535


@dataclasses.dataclass(frozen=True)
class DepthFrame:
    """One frame of the result, as writers receive it.

    Attributes:
      index: number in the source.
      disparity: float32 [H, W], not negative, 0 outside the view.
      depth: float32 [H, W], positive, 0 outside the view.
      rgb: uint8 [H, W, 3]; None where no writer asked for it.
      shown: bool [H, W], where the frame's own mask and the view show it; None where it has no mask of its own.
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
    """Writes an .npz frame by frame; `np.load` reads it like any other, memory does not grow with its length.

    Keys: those of `maps`, float32 [N, H, W]; `fps` float64; `intrinsics` float64 [4] (fx, fy, cx, cy in pixels);
    `frame_index` int64 [N].

    Args:
      maps: for each key a function that gives the N maps anew, float32 [H, W].
    """
    with whole_file(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for key, frames in maps.items():
            # The size of a member over 2 GiB must be announced before it is written.
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
    """Returns the largest power of two by which a clip's greatest depth still fits into 16 bits."""
    return float(2.0 ** np.floor(np.log2(PNG_LARGEST / deepest)))


@contextlib.contextmanager
def png_writer(folder: Path, scale: float, unit: str = "up to scale") -> Iterator[Write]:
    """Gives a function that writes `frame_00000.png`, uint16 round(depth * scale), 0 outside the view.

    `scale.json` in the folder says the scale, so that the files can be read without anything else.  What is nearer
    than one step is 1, what is farther than 65,535 steps is 65,535.
    """
    with whole_file(folder) as part:
        part.mkdir()
        sidecar = {"scale": scale, "depth": "value / scale", "invalid": 0, "unit": unit}
        (part / "scale.json").write_text(json.dumps(sidecar, indent=2) + "\n")

        def write(frame: DepthFrame) -> None:
            steps = np.clip(np.rint(frame.depth * np.float64(scale)), 1, PNG_LARGEST)
            values = np.where(frame.depth > 0, steps, 0).astype(np.uint16)
            Image.fromarray(values).save(part / f"{frame_name(frame)}.png", compress_level=3)

        yield write


@contextlib.contextmanager
def npy_writer(folder: Path) -> Iterator[Write]:
    """Gives a function that writes `frame_00000.npy`, the depth as float32 [H, W]."""
    with whole_file(folder) as part:
        part.mkdir()
        yield lambda frame: np.save(part / f"{frame_name(frame)}.npy", frame.depth)


@contextlib.contextmanager
def tiff_writer(folder: Path) -> Iterator[Write]:
    """Gives a function that writes `frame_00000.tiff`, the depth as float32 [H, W]."""
    with whole_file(folder) as part:
        part.mkdir()
        yield lambda frame: tifffile.imwrite(part / f"{frame_name(frame)}.tiff", frame.depth)


def need_exr() -> None:
    """Raises a `UserError` where the optional package is missing."""
    if importlib.util.find_spec("OpenEXR") is None:
        raise UserError("--save exr: needs the package OpenEXR; install it with: pip install 'endodav-jax[exr]'")


@contextlib.contextmanager
def exr_writer(folder: Path) -> Iterator[Write]:
    """Gives a function that writes `frame_00000.exr`, the depth as channel Z, 32-bit float."""
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with whole_file(folder) as part:
        part.mkdir()

        def write(frame: DepthFrame) -> None:
            file = part / f"{frame_name(frame)}.exr"
            try:
                OpenEXR.File(header, {"Z": frame.depth}).write(str(file))
            except RuntimeError as error:
                raise UserError(
                    f"{folder}: cannot be written ({error}); free space or choose another folder"
                ) from error

        yield write


def frame_name(frame: DepthFrame) -> str:
    """Returns the stem of a frame's file, with at least five digits as Video-Depth-Anything has them."""
    return f"frame_{frame.index:05d}"
