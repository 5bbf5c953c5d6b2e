"""The output files for the depth of a clip: their names, the disk space they need, and their contents."""

import dataclasses
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np

from endodav_jax.depth_video.config import InferConfig
from endodav_jax.errors import UserError
from endodav_jax.files import make_folder, refuse_existing, shortened, size_text
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.scale.estimate import Scale
from endodav_jax.video.colour import colourise
from endodav_jax.video.depth_files import DepthFrame
from endodav_jax.video.encoder import LONGEST_SIDE
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.image_files import ImageSequence
from endodav_jax.video.lenses import Lens
from endodav_jax.video.reader import FrameReader
from endodav_jax.video.recognise import META_SUFFIX

MAP_BYTES_PER_PIXEL = 4  # of float32 maps, in the spool and in formats whose size does not depend on the picture
MAPS = {"npz": 2, "npy": 1, "tiff": 1}


@dataclasses.dataclass(frozen=True)
class Camera:
    """Intrinsics (fx, fy, cx, cy) in pixels of the frames, float64 [4], and their origin.

    Attributes:
      intrinsics: of the pinhole camera, or of the one that matches a distorted lens near its axis.
      origin: human-readable description.
      lens: the lens, if distorted.
    """

    intrinsics: np.ndarray
    origin: str
    lens: Lens | None = None

    def rays(self, size: tuple[int, int]) -> np.ndarray | None:
        """Rays [H, W, 3] with z = 1, inf where a pixel does not look forward; None for a pinhole."""
        return None if self.lens is None else self.lens.ray_grid(size)


@dataclasses.dataclass
class DepthRun:
    """What a run did.

    Attributes:
      indices: frame numbers in the source.
      times: times of the frames in seconds.
      stopped: why reading ended early, or None.
      windows: the `WindowLog` of each window.
      inference_seconds: from the first frame to the last disparity, including decoding.
      disparity_range: minimum and maximum of the clip's output inside the view.
      colour_range: range of the colours.
      png_scale: scale of the 16-bit PNG files, if written.
      scale: factor from depth to millimetres, if requested.
      steady_note: what could not be steadied, if that was requested.
    """

    indices: list[int] = dataclasses.field(default_factory=list)
    times: list[float] = dataclasses.field(default_factory=list)
    stopped: ReadingStopped | None = None
    windows: list = dataclasses.field(default_factory=list)
    inference_seconds: float = 0.0
    disparity_range: tuple[float, float] = (0.0, 0.0)
    colour_range: tuple[float, float] = (0.0, 0.0)
    png_scale: float | None = None
    scale: Scale | None = None
    steady_note: str = ""


def output_stem(reader: FrameReader) -> str:
    """Returns what the names of a recording's outputs begin with, short enough for any file system."""
    return shortened(reader.source.stem)


def output_paths(folder: Path, reader: FrameReader, config: InferConfig) -> dict[str, Path]:
    """Returns the paths to be written, by kind, with the names that Video-Depth-Anything uses."""
    stem = output_stem(reader)
    names: dict[str, str] = {kind: f"{stem}_{kind}.mp4" for kind in config.videos}
    if isinstance(reader.source, ImageSequence) and reader.source.count == 1 and "vis" in config.videos:
        names["picture"] = f"{stem}_vis.png"
    patterns = {
        "npz": "depths.npz", "npy": "depths_npy", "png16": "depths_png", "exr": "depths_exr", "tiff": "depths_tiff",
        "ply": "points_ply",
    }  # fmt: skip
    names |= {kind: f"{stem}_{patterns[kind]}" for kind in config.save}
    names["meta"] = f"{stem}{META_SUFFIX}"
    return {kind: folder / name for kind, name in names.items()}


def check_outputs(paths: dict[str, Path], reader: FrameReader, config: InferConfig) -> None:
    """Creates the folder and raises `UserError` for anything that would otherwise fail after hours of work.

    Raises:
      UserError: an output exists, frames are too large for a video, the folder cannot be created, or the disk has too
        little space for the outputs.
    """
    for path in () if config.overwrite else paths.values():
        refuse_existing(path)
    height, width = reader.size
    for kind in config.videos:
        side = max(height, 2 * width if kind == "sbs" else width)
        if side > LONGEST_SIDE:
            raise UserError(
                f"--videos {kind}: {side} pixels are more than the {LONGEST_SIDE} that H.264 takes; lower --max-res, "
                "or leave it out of --videos"
            )
    folder = paths["meta"].parent
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    pixels = (reader.count or 0) * reader.size[0] * reader.size[1]
    spools = 2 if config.steady else 1  # corrected outputs are written while those before are read
    in_mm = 1 if config.scale and "npz" in paths else 0
    needed = pixels * MAP_BYTES_PER_PIXEL * (spools + in_mm + sum(MAPS.get(kind, 0) for kind in paths))
    if needed > free:
        raise UserError(
            f"{folder}: needs {size_text(needed)} and has {size_text(free)} free; free space, choose another "
            "folder, lower --max-res, or write less with --save"
        )
    make_folder(folder)


def depth_frame(
    model: DepthModelConfig, index: int, output: np.ndarray, inside: np.ndarray | None, rgb: np.ndarray | None = None
) -> DepthFrame:
    """Converts a network's output, float32 [H, W] with NaN at pixels excluded by the frame's mask, for the writers.

    Disparity and depth are 0 outside the view and outside the mask.  For metric depth (metres), the disparity is 1 /
    depth, and 0 where depth is 0.
    """
    left_out = np.isnan(output)
    shown = None
    if left_out.any():
        shown = ~left_out if inside is None else inside & ~left_out
        output = np.where(left_out, np.float32(0), output)
    within = inside if shown is None else shown
    depth = model.depth(output)
    depth = depth if within is None else np.where(within, depth, np.float32(0))
    disparity = np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0) if model.metric else output
    return DepthFrame(index, disparity, depth, rgb, shown)


def coloured(
    values: np.ndarray, span: tuple[float, float], table: np.ndarray, shown: np.ndarray | None, metric: bool
) -> np.ndarray:
    """Returns colours uint8 [H, W, 3] with near bright: of disparity directly, of metric depth inverted."""
    low, high = span
    return colourise(-values, -high, -low, table, shown) if metric else colourise(values, low, high, table, shown)


def varies(times: list[float], fps: Fraction) -> bool:
    """Returns whether any frame is more than half a frame away from a constant rate starting at the first frame."""
    even = times[0] + np.arange(len(times)) / float(fps)
    return bool(np.abs(np.asarray(times) - even).max() > 0.5 / float(fps))
