"""From frames to files: the depth of a clip, written as videos, lossless depth and a description."""

import contextlib
import dataclasses
import shutil
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from endodav_jax.depth_video.config import InferConfig, fixed_range
from endodav_jax.errors import UserError
from endodav_jax.files import make_folder, whole_file
from endodav_jax.inference.recent_masks import RecentMasks
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.progress import progress_bar
from endodav_jax.video import depth_files
from endodav_jax.video.colour import colour_table, colourise
from endodav_jax.video.depth_files import DepthFrame
from endodav_jax.video.encoder import mp4_writer
from endodav_jax.video.frame_masks import FrameMasks, fitted_mask
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.image_files import ImageSequence
from endodav_jax.video.lenses import Lens
from endodav_jax.video.point_cloud import ply_writer
from endodav_jax.video.reader import FrameReader
from endodav_jax.video.spool import DisparitySpool

_LEAST_DEPTH = 1e-3  # of a clip of zeros, whose scale does not matter
PERCENTILES = (0.01, 0.99)
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
    """

    indices: list[int] = dataclasses.field(default_factory=list)
    times: list[float] = dataclasses.field(default_factory=list)
    stopped: ReadingStopped | None = None
    windows: list = dataclasses.field(default_factory=list)
    inference_seconds: float = 0.0
    disparity_range: tuple[float, float] = (0.0, 0.0)
    colour_range: tuple[float, float] = (0.0, 0.0)
    png_scale: float | None = None


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


def write_depth(
    reader: FrameReader,
    estimator,
    paths: dict[str, Path],
    config: InferConfig,
    camera: Camera,
    inside: np.ndarray | None = None,
    masks: FrameMasks | None = None,
) -> DepthRun:
    """Infers the depth of every frame and writes every output but the description.

    Frames flow from the decoder through the estimator to disk, and memory does not grow with their number.  The
    colours' range is the whole clip's, so disparities wait in a `DisparitySpool` and colours come in a second pass.
    An output gets its final name when it is whole, all of them at the end.

    Args:
      estimator: has the network's `config`, and `iter_infer(frames, align=, view_mask=, on_window=)`, which yields
        (place of the frame among those given, float32 [H, W]).
      paths: from `output_paths`.
      inside: bool [H, W], where the view is; None is everywhere.  Nothing outside reaches the network or the colours'
        range, and its disparity and depth are 0.
      masks: of single frames.  The network sees what they leave out, the fits of windows do not; with
        `config.mask_outputs` its depth is 0.

    Raises:
      UserError: no frames, no space, or values that are not finite.
    """
    run = DepthRun()
    with contextlib.ExitStack() as files:
        spool = files.enter_context(DisparitySpool(paths["meta"].parent, reader.size, inside))
        copy = (
            files.enter_context(mp4_writer(paths["src"], reader.fps, reader.pixel_aspect)) if "src" in paths else None
        )
        counted = None if masks is None else _Counted(masks, reader)
        _infer(reader, estimator, config, spool, copy, run, counted)
        run.disparity_range = spool.low, spool.high
        run.colour_range = _colour_range(spool, config.range)
        _write(reader, paths, config, estimator.config, camera, spool, run, files)
    return run


class _Counted:
    """The masks of the frames that were read, at their size."""

    def __init__(self, masks: FrameMasks, reader: FrameReader):
        self._mask_of, self._path, self._reader = masks.reader(), masks.path, reader
        self.of = RecentMasks()

    def read(self, index: int) -> None:
        """Takes the mask of the next frame, which is number `index` of the source."""
        reader, mask = self._reader, self._mask_of(index)
        if mask is not None:
            sizes = reader.source.size, reader.full_size, reader.size
            mask = fitted_mask(mask, reader.window, *sizes, self._path)
        self.of.append(mask)


def _infer(
    reader, estimator, config: InferConfig, spool: DisparitySpool, copy, run: DepthRun, counted: _Counted | None
) -> None:
    """The first pass: fills the spool, and copies the frames that the network saw."""

    def frames() -> Iterator[np.ndarray]:
        try:
            for frame in reader:
                run.indices.append(frame.index)
                run.times.append(frame.time)
                if copy is not None:
                    copy(frame.rgb)
                if counted is not None:
                    counted.read(frame.index)
                yield frame.rgb
        except ReadingStopped as stopped:
            run.stopped = stopped

    def on_window(window) -> None:
        run.windows.append(window)
        if config.verbose:
            place = f"window {window.window}: frames {window.first_frame}-{window.last_frame}"
            bar.write(f"{place}, scale {window.scale:.6f}, shift {window.shift:+.6f}", file=sys.stderr)

    started = time.perf_counter()
    masked = {} if counted is None else {"mask_of": counted.of}
    inferred = estimator.iter_infer(
        frames(), align=config.windows, view_mask=spool.inside, on_window=on_window, **masked
    )
    # Closed on an error too, before the video is: estimators read ahead in a thread, which runs `copy`.
    with progress_bar(reader.count, "depth", config.quiet) as bar, contextlib.closing(inferred):
        for number, disparity in inferred:
            kept = counted.of(number) if counted is not None and config.mask_outputs else None
            spool.append(run.indices[number], np.asarray(disparity, np.float32), kept)
            bar.update()
    run.inference_seconds = time.perf_counter() - started
    if not len(spool):
        raise run.stopped or UserError(f"{reader.source.name}: holds no frames; name another video")


def _write(
    reader, paths, config, model: DepthModelConfig, camera: Camera, spool: DisparitySpool, run: DepthRun, files
) -> None:
    """The second pass: everything that is made of disparities, in the colours of the whole clip."""
    inside, size = spool.inside, spool.size
    table = colour_table(config.cmap)
    writers: list[depth_files.Write] = []

    unit = "in metres" if model.metric else "up to scale"

    def colours_of(frame: DepthFrame) -> np.ndarray:
        shown = inside if frame.shown is None else frame.shown
        values = frame.depth if model.metric else frame.disparity
        return coloured(values, run.colour_range, table, shown, model.metric)

    if "vis" in paths:
        append_colours = files.enter_context(mp4_writer(paths["vis"], reader.fps, reader.pixel_aspect))
        writers.append(lambda frame: append_colours(colours_of(frame)))
    if "sbs" in paths:
        append_pair = files.enter_context(mp4_writer(paths["sbs"], reader.fps, reader.pixel_aspect))
        writers.append(lambda frame: append_pair(np.concatenate([frame.rgb, colours_of(frame)], axis=1)))
    if "picture" in paths:
        picture = files.enter_context(whole_file(paths["picture"]))
        writers.append(lambda frame: Image.fromarray(colours_of(frame)).save(picture))
    if "png16" in paths:
        deepest = spool.high if model.metric else float(model.depth(max(spool.low, 0.0)))
        run.png_scale = config.png_scale or depth_files.png_scale(max(deepest, _LEAST_DEPTH))
        writers.append(files.enter_context(depth_files.png_writer(paths["png16"], run.png_scale, unit)))
    if "npy" in paths:
        writers.append(files.enter_context(depth_files.npy_writer(paths["npy"])))
    if "exr" in paths:
        writers.append(files.enter_context(depth_files.exr_writer(paths["exr"])))
    if "tiff" in paths:
        writers.append(files.enter_context(depth_files.tiff_writer(paths["tiff"])))
    if "ply" in paths:
        comment = f"intrinsics {camera.origin}"
        writers.append(
            files.enter_context(ply_writer(paths["ply"], camera.intrinsics, comment, camera.rays(size), unit))
        )

    if writers:
        # Frames are decoded again where a writer shows them: keeping them would take as much room as the disparities.
        rgbs = iter(reader) if {"sbs", "ply"} & set(paths) else None
        with progress_bar(len(spool), "write", config.quiet) as bar:
            for index, disparity in spool:
                rgb = _frame_again(rgbs, index, reader) if rgbs is not None else None
                frame = depth_frame(model, index, disparity, inside, rgb)
                for write in writers:
                    write(frame)
                bar.update()
    if "npz" in paths:
        frames = {"disparities": lambda frame: frame.disparity, "depths": lambda frame: frame.depth}
        if model.metric:
            del frames["disparities"]
        maps = {
            key: lambda part=part: (part(depth_frame(model, index, output, inside)) for index, output in spool)
            for key, part in frames.items()
        }
        depth_files.write_npz(paths["npz"], size, spool.indices, maps, reader.fps, camera.intrinsics)


def _frame_again(frames: Iterator, index: int, reader: FrameReader) -> np.ndarray:
    frame = next(frames, None)
    if frame is None or frame.index != index:
        raise UserError(f"{reader.source.name}: changed while it was read; run the command again")
    return frame.rgb


def _colour_range(spool: DisparitySpool, how: str) -> tuple[float, float]:
    if how == "clip":
        return spool.low, spool.high
    if how == "percentile":
        return spool.quantiles(*PERCENTILES)
    return fixed_range(how)


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
