"""The two passes over a clip: the first infers depth and spools it to disk, the second writes the outputs."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from endodav_jax.depth_video.config import InferConfig, fixed_range
from endodav_jax.depth_video.corrected import Steady, corrected
from endodav_jax.depth_video.outputs import Camera, DepthRun, coloured, depth_frame
from endodav_jax.errors import UserError
from endodav_jax.files import whole_file
from endodav_jax.inference.recent_masks import RecentMasks
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.progress import progress_bar
from endodav_jax.scale.estimate import Scale
from endodav_jax.scale.sources import ScaleFrame
from endodav_jax.video import depth_files
from endodav_jax.video.colour import colour_table
from endodav_jax.video.depth_files import DepthFrame
from endodav_jax.video.encoder import mp4_writer
from endodav_jax.video.frame_masks import FrameMasks, fitted_mask
from endodav_jax.video.frames import Frame, ReadingStopped
from endodav_jax.video.point_cloud import ply_writer
from endodav_jax.video.reader import FrameReader
from endodav_jax.video.spool import DisparitySpool

_LEAST_DEPTH = 1e-3  # for a clip of zeros, whose scale does not matter
PERCENTILES = (0.01, 0.99)


Measure = Callable[[Callable[[], Iterator[ScaleFrame]], list[int]], Scale]


# From the clip's frames (a new iterator each time), the view bool [H,W], the intrinsics [4] and whether these were
# given, to its correction.
SteadyOf = Callable[[Callable[[], Iterator[ScaleFrame]], np.ndarray, np.ndarray, bool], Steady]


def write_depth(
    reader: FrameReader,
    estimator,
    paths: dict[str, Path],
    config: InferConfig,
    camera: Camera,
    inside: np.ndarray | None = None,
    masks: FrameMasks | None = None,
    measure: Measure | None = None,
    steady_of: SteadyOf | None = None,
) -> DepthRun:
    """Infers the depth of every frame and writes all outputs except the description.

    Frames are streamed from the decoder through the estimator to disk; memory does not grow with their number.  The
    colour range is that of the whole clip, so disparities are kept in a `DisparitySpool` and colours come in a second
    pass.  Outputs get their final names when complete, all of them at the end.

    Args:
      estimator: has the network's `config`, and `iter_infer(frames, align=, view_mask=, on_window=, mask_of=)`, which
        yields (index among the given frames, float32 [H, W]).
      paths: from `output_paths`.
      inside: bool [H, W], the view; None for everywhere.  Pixels outside do not affect the network or the colour
        range, and their disparity and depth are 0.
      masks: per-frame masks.  Excluded pixels are seen by the network but not by the alignment of windows; with
        `config.mask_outputs` their depth is 0.
      measure: returns the clip's scale, given its frames (a new iterator each time) and their numbers.
      steady_of: returns a correction of the clip's depth, which is applied before anything is written.

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
        if spool.low > spool.high:
            left_out = reader.source.name if masks is None else masks.path
            raise UserError(
                f"{left_out}: no pixel of any frame is left by masks and view; give masks that are 0 only "
                "where pixels are to be left out"
            )
        if steady_of is not None:
            spool = files.enter_context(
                _steadied(reader, spool, estimator.config, config, camera, masks, steady_of, run)
            )
        run.disparity_range = spool.low, spool.high
        run.colour_range = _colour_range(spool, config.range)
        if measure is not None:
            run.scale = measure(lambda: _scale_frames(reader, spool, estimator.config), run.indices)
        _write(reader, paths, config, estimator.config, camera, spool, run, files)
    return run


def _scale_frames(reader: FrameReader, spool: DisparitySpool, model: DepthModelConfig) -> Iterator[ScaleFrame]:
    rgbs = iter(reader)
    for index, output in spool:
        # A disparity of 0 means infinitely far: no depth.
        depth = np.where(output > 0, depth_frame(model, index, output, spool.inside).depth, np.float32(0))
        yield ScaleFrame(index, frame_again(rgbs, index, reader), depth)


def _steadied(
    reader: FrameReader,
    spool: DisparitySpool,
    model: DepthModelConfig,
    config: InferConfig,
    camera: Camera,
    masks: FrameMasks | None,
    steady_of: SteadyOf,
    run: DepthRun,
) -> DisparitySpool:
    """A new spool with the corrected outputs."""
    inside = np.ones(spool.size, bool) if spool.inside is None else spool.inside

    def frames() -> Iterator[ScaleFrame]:
        counted = None if masks is None else _Counted(masks, reader)
        for number, frame in enumerate(_scale_frames(reader, spool, model)):
            if counted is not None:
                counted.read(frame.index)
                mask = counted.of(number)
                if mask is not None:
                    frame = dataclasses.replace(frame, depth=np.where(mask, frame.depth, np.float32(0)))
            yield frame

    steady = steady_of(frames, inside, np.asarray(camera.intrinsics, np.float64), bool(config.intrinsics))
    run.steady_note = steady.note
    return corrected(spool, model, steady)


class _Counted:
    """The masks of the frames that were read, resized to them."""

    def __init__(self, masks: FrameMasks, reader: FrameReader):
        self._mask_of, self._path, self._reader = masks.reader(), masks.path, reader
        self.of = RecentMasks()

    def read(self, index: int) -> None:
        """Takes the mask of the next frame, which has number `index` in the source."""
        reader, mask = self._reader, self._mask_of(index)
        if mask is not None:
            sizes = reader.source.size, reader.full_size, reader.size
            mask = fitted_mask(mask, reader.window, *sizes, self._path)
        self.of.append(mask)


def _infer(
    reader, estimator, config: InferConfig, spool: DisparitySpool, copy, run: DepthRun, counted: _Counted | None
) -> None:
    """The first pass: fills the spool, and copies the frames as the network saw them."""

    def frames() -> Iterator[np.ndarray]:
        try:
            for frame in reader:
                if counted is not None:  # first, since masks that break off end the clip before this frame
                    counted.read(frame.index)
                run.indices.append(frame.index)
                run.times.append(frame.time)
                if copy is not None:
                    copy(frame.rgb)
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
        raise run.stopped or UserError(f"{reader.source.name}: contains no frames; name another video")


def _write(
    reader, paths, config, model: DepthModelConfig, camera: Camera, spool: DisparitySpool, run: DepthRun, files
) -> None:
    """The second pass: everything derived from disparities, using the colour range of the whole clip."""
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
        run.png_scale = _png_scale(config.png_scale, spool, model)
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
        # Frames are decoded again for writers that show them: storing them would take as much space as the disparities.
        rgbs = iter(reader) if {"sbs", "ply"} & set(paths) else None
        with progress_bar(len(spool), "write", config.quiet) as bar:
            for index, disparity in spool:
                rgb = frame_again(rgbs, index, reader) if rgbs is not None else None
                frame = depth_frame(model, index, disparity, inside, rgb)
                for write in writers:
                    write(frame)
                bar.update()
    if "npz" in paths:
        frames = {"disparities": lambda frame: frame.disparity, "depths": lambda frame: frame.depth}
        if model.metric:
            del frames["disparities"]
        if run.scale is not None:
            factor = np.float32(run.scale.factor)
            frames["depths_mm"] = lambda frame: frame.depth * factor
        maps = {
            key: lambda part=part: (part(depth_frame(model, index, output, inside)) for index, output in spool)
            for key, part in frames.items()
        }
        depth_files.write_npz(paths["npz"], size, spool.indices, maps, reader.fps, camera.intrinsics)


def _png_scale(given: float, spool: DisparitySpool, model: DepthModelConfig) -> float:
    """Returns the scale of 16-bit PNGs; raises `UserError` if the given one does not suit the clip's greatest depth."""
    deepest = max(spool.high if model.metric else float(model.depth(max(spool.low, 0.0))), _LEAST_DEPTH)
    if given and not 1 <= given * deepest < depth_files.PNG_LARGEST + 0.5:
        what = "does not fit into 16 bits" if given * deepest > 1 else "is less than one step"
        largest = _floored(depth_files.PNG_LARGEST / deepest)
        raise UserError(
            f"--png-scale {given:g}: the greatest depth, {deepest:.4g}, {what}; give {largest:g} at most, or 0 for a "
            "scale that fits"
        )
    return given or depth_files.png_scale(deepest)


def _floored(value: float) -> float:
    """Rounds a positive number down to four digits."""
    step = 10.0 ** (np.floor(np.log10(value)) - 3)
    return float(np.floor(value / step) * step)


def frame_again(frames: Iterator[Frame], index: int, reader: FrameReader) -> np.ndarray:
    """The next of frames that are read once more, uint8 [H,W,3]; raises `UserError` unless its number is `index`."""
    frame = next(frames, None)
    if frame is None or frame.index != index:
        raise UserError(f"{reader.source.name}: changed while it was being read; run the command again")
    return frame.rgb


def _colour_range(spool: DisparitySpool, how: str) -> tuple[float, float]:
    if how == "clip":
        return spool.low, spool.high
    if how == "percentile":
        return spool.quantiles(*PERCENTILES)
    return fixed_range(how)
