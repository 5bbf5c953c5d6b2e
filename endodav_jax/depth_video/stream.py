"""Depth from a live source: a camera, a pipe, or a file played as if it were live."""

import contextlib
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np

from endodav_jax.depth_video.config import StreamConfig, fixed_range
from endodav_jax.depth_video.outputs import coloured, depth_frame
from endodav_jax.depth_video.weights import load_estimator
from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from endodav_jax.progress import progress_bar
from endodav_jax.video.colour import colour_table
from endodav_jax.video.depth_files import npy_writer
from endodav_jax.video.encoder import mp4_writer
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.live import open_live
from endodav_jax.video.reader import FrameReader
from endodav_jax.video.view_mask import view_of


@dataclasses.dataclass(frozen=True)
class Latency:
    """Milliseconds from a frame to its depth.

    Attributes:
      start: for the first two frames together, which includes compilation.
      median: of the others.
      slow: 95th percentile of the others.
    """

    start: float
    median: float
    slow: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Latency":
        """Summarises the seconds per frame; if there are no others, the last frame stands in for them."""
        others = np.asarray(seconds[2:] or seconds[-1:]) * 1000
        return cls(sum(seconds[:2]) * 1000, float(np.median(others)), float(np.percentile(others, 95)))

    def __str__(self) -> str:
        return f"latency {self.median:.1f} ms (95%: {self.slow:.1f} ms; first two frames: {self.start:.0f} ms)"


def stream(
    config: StreamConfig, folder: Path | None = None, weights: str = "", raw_shape: tuple[int, int] | None = None
) -> int:
    """Pushes frames through the estimator one by one until the source ends or the user interrupts.

    The colour range of the whole clip is not known in advance: the widest range seen so far is used, which never
    shrinks, unless `--range` fixes it.

    Args:
      config: the source, and what to write.
      folder: folder for outputs; None to write none.
      weights: a checkpoint, or published weights; empty for the network shipped with the package (reported).
      raw_shape: (height, width) of raw RGB24 pixels in a pipe without a container; None for a container.

    Returns:
      `EXIT_OK`, or `EXIT_SOME_FAILED` if reading stopped early and the frames before were kept.

    Raises:
      UserError: invalid source or weights, or outputs that cannot be written.
    """
    colours_span = fixed_range(config.range) if config.range else None
    kinds = () if folder is None else config.save
    source = open_live(config.source, raw_shape, sys.stdin.buffer, config.reading)
    reader = FrameReader(source, stereo=config.stereo, max_len=config.max_len, max_res=config.max_res)
    folder = folder or Path()
    paths = {"vis": folder / f"{source.stem}_vis.mp4", "npy": folder / f"{source.stem}_depths_npy"}
    for kind in kinds:
        if paths[kind].exists() and not config.overwrite:
            raise UserError(f"{paths[kind]}: already exists; pass --overwrite to replace it")
    inside = view_of(reader, config.mask)
    estimator, _ = load_estimator(weights, config)
    model, depth = estimator.config, estimator.stream(inside)
    table = colour_table(config.cmap)
    seconds: list[float] = []
    stopped = None
    with contextlib.ExitStack() as files:
        append = (
            files.enter_context(mp4_writer(paths["vis"], reader.fps, reader.pixel_aspect)) if "vis" in kinds else None
        )
        save = files.enter_context(npy_writer(paths["npy"])) if "npy" in kinds else None
        bar = files.enter_context(progress_bar(reader.count, "stream", config.quiet))
        low, high = colours_span or (np.inf, -np.inf)
        try:
            for frame in reader:
                started = time.perf_counter()
                disparity = np.asarray(depth.push(frame.rgb), np.float32)
                elapsed = time.perf_counter() - started
                if colours_span is None:
                    seen = disparity if inside is None else disparity[inside]
                    low, high = min(low, float(seen.min())), max(high, float(seen.max()))
                if append is not None:
                    append(coloured(disparity, (low, high), table, inside, model.metric), frame.time)
                if save is not None:
                    save(depth_frame(model, frame.index, disparity, inside))
                seconds.append(elapsed)
                bar.set_postfix_str(f"{elapsed * 1000:.0f} ms", refresh=False)
                bar.update()
        except ReadingStopped as error:
            stopped = error
        except KeyboardInterrupt:  # the normal end of a live source; what was written is complete
            if not seconds:
                raise
    for note in [] if config.quiet else source.notes:
        print(f"{source.name}: {note}", file=sys.stderr)
    if seconds and not config.quiet:
        print(f"{source.name}: {len(seconds)} frames, {Latency.of(seconds)}")
    if stopped is not None:
        print(f"endodav stream: {stopped}; the {len(seconds)} frames before this are kept", file=sys.stderr)
        return EXIT_SOME_FAILED
    return EXIT_OK
