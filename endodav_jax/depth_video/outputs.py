"""The files of a clip's depth: which there are, whether there is room for them, and what stands in them."""

import dataclasses
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np

from endodav_jax.depth_video.config import InferConfig
from endodav_jax.errors import UserError
from endodav_jax.files import make_folder
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.scale.estimate import Scale
from endodav_jax.video.colour import colourise
from endodav_jax.video.depth_files import DepthFrame
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.image_files import ImageSequence
from endodav_jax.video.lenses import Lens
from endodav_jax.video.reader import FrameReader

BYTES_PER_PIXEL = {"npz": 8, "npy": 4, "tiff": 4}  # what does not depend on the picture
SPOOL_BYTES_PER_PIXEL = 4


@dataclasses.dataclass(frozen=True)
class Camera:
    """Intrinsics (fx, fy, cx, cy) in pixels of the frames, float64 [4], and where they come from.

    Attributes:
      intrinsics: of the pinhole, or of the one that a distorted lens is near its axis.
      origin: for people.
      lens: where it is distorted.
    """

    intrinsics: np.ndarray
    origin: str
    lens: Lens | None = None

    def rays(self, size: tuple[int, int]) -> np.ndarray | None:
        """[H, W, 3] with z = 1, inf where a pixel does not look forward; None for a pinhole."""
        return None if self.lens is None else self.lens.ray_grid(size)


@dataclasses.dataclass
class DepthRun:
    """What a run did.

    Attributes:
      indices: numbers of the frames in the source.
      times: their seconds.
      stopped: why reading ended early, or None.
      windows: the `WindowLog` of each window.
      inference_seconds: from the first frame to the last disparity, decoding included.
      disparity_range: least and greatest of the clip's output, inside the view.
      colour_range: what the colours span.
      png_scale: of the 16-bit PNG files, where they were written.
      scale: from depth to millimetres, where it was asked for.
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


def output_paths(folder: Path, reader: FrameReader, config: InferConfig) -> dict[str, Path]:
    """Returns what will be written, by kind, named as Video-Depth-Anything names it."""
    stem = reader.source.stem
    names: dict[str, str] = {kind: f"{stem}_{kind}.mp4" for kind in config.videos}
    if isinstance(reader.source, ImageSequence) and reader.source.count == 1 and "vis" in config.videos:
        names["picture"] = f"{stem}_vis.png"
    patterns = {
        "npz": "depths.npz", "npy": "depths_npy", "png16": "depths_png", "exr": "depths_exr", "tiff": "depths_tiff",
        "ply": "points_ply",
    }  # fmt: skip
    names |= {kind: f"{stem}_{patterns[kind]}" for kind in config.save}
    names["meta"] = f"{stem}_meta.json"
    return {kind: folder / name for kind, name in names.items()}


def check_outputs(paths: dict[str, Path], reader: FrameReader, overwrite: bool) -> None:
    """Makes the folder and raises a `UserError` for whatever would fail after hours of work.

    Raises:
      UserError: an output exists, the folder cannot be made, or its disk has no room for what can be reckoned.
    """
    for path in paths.values():
        if path.exists() and not overwrite:
            raise UserError(f"{path}: exists already; pass --overwrite to replace it")
    folder = paths["meta"].parent
    make_folder(folder)
    free = shutil.disk_usage(folder).free
    pixels = (reader.count or 0) * reader.size[0] * reader.size[1]
    needed = pixels * (SPOOL_BYTES_PER_PIXEL + sum(BYTES_PER_PIXEL.get(kind, 0) for kind in paths))
    if needed > free:
        raise UserError(
            f"{folder}: needs {needed / 1e9:.1f} GB and has {free / 1e9:.1f} GB free; free space, choose another "
            "folder, lower --max-res, or write less with --save"
        )


def depth_frame(
    model: DepthModelConfig, index: int, output: np.ndarray, inside: np.ndarray | None, rgb: np.ndarray | None = None
) -> DepthFrame:
    """Returns what writers receive of a network's output, float32 [H, W], NaN where a mask of the frame leaves it out.

    Disparity and depth are 0 outside the view and outside the mask.  Of metric depth (metres) the disparity is 1 over
    it, 0 where it is 0.
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
    """Returns colours uint8 [H, W, 3], near bright: of disparity as it is, of metric depth the other way round."""
    low, high = span
    return colourise(-values, -high, -low, table, shown) if metric else colourise(values, low, high, table, shown)


def varies(times: list[float], fps: Fraction) -> bool:
    """Returns whether frames are anywhere more than half a frame off an even rate that starts with the first."""
    even = times[0] + np.arange(len(times)) / float(fps)
    return bool(np.abs(np.asarray(times) - even).max() > 0.5 / float(fps))
