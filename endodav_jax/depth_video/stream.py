"""Depth from a live source: a camera, a pipe, or a file played as if it were live."""

import contextlib
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np

from endodav_jax.depth_video.config import StreamConfig, fixed_range
from endodav_jax.depth_video.live_outputs import LiveOutput, live_npy, live_video
from endodav_jax.depth_video.outputs import coloured, depth_frame
from endodav_jax.depth_video.weights import load_estimator
from endodav_jax.errors import EXIT_OK, EXIT_PREEMPTED, EXIT_SOME_FAILED, EXIT_USER_ERROR, Terminated, UserError
from endodav_jax.files import refuse_existing, shortened
from endodav_jax.process import StopsHeld
from endodav_jax.progress import progress_bar
from endodav_jax.video.colour import colour_table
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.live import open_live
from endodav_jax.video.reader import FrameReader
from endodav_jax.video.view_mask import find_view


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


@dataclasses.dataclass
class Session:
    """What came of a live source.

    Attributes:
      seconds: of each frame, from its arrival to its depth.
      outputs: what was written, complete once it is closed.
      ended: what ended it before the source did, or None.
    """

    seconds: list[float] = dataclasses.field(default_factory=list)
    outputs: list[LiveOutput] = dataclasses.field(default_factory=list)
    ended: BaseException | None = None

    @property
    def as_wanted(self) -> bool:
        """Whether the source or Ctrl-C ended it, as is usual."""
        return self.ended is None or type(self.ended) is KeyboardInterrupt

    @property
    def kept(self) -> list[LiveOutput]:
        """The outputs that hold frames; the others leave no file."""
        return [output for output in self.outputs if output.frames]

    @property
    def told(self) -> str:
        """What is kept, for the line that says why it ended."""
        if not self.outputs:
            return f"after {len(self.seconds)} frames; no output was asked for"
        return f"kept: {', '.join(map(str, self.kept))}" if self.kept else "nothing is kept"


def stream(
    config: StreamConfig, folder: Path | None = None, weights: str = "", raw_shape: tuple[int, int] | None = None
) -> int:
    """Pushes frames through the estimator one by one until the source ends, or until Ctrl-C or SIGTERM.

    The colour range of the whole clip is not known in advance: the widest range seen so far is used, which never
    shrinks, unless `--range` fixes it.  Whatever ends it, what was recorded is kept.

    Args:
      config: the source, and what to write.
      folder: folder for outputs; None to write none.
      weights: a checkpoint, or published weights; empty for the network shipped with the package (reported).
      raw_shape: (height, width) of raw RGB24 pixels in a pipe without a container; None for a container.

    Returns:
      `EXIT_OK`, also for Ctrl-C, the normal end of a live source; `EXIT_PREEMPTED` for SIGTERM; `EXIT_SOME_FAILED` if
      reading or writing stopped early and the frames before were kept, `EXIT_USER_ERROR` if none could be.

    Raises:
      UserError: invalid source or weights, or outputs that cannot be written.
    """
    colours_span = fixed_range(config.range) if config.range else None
    kinds = () if folder is None else config.save
    source = open_live(config.source, raw_shape, sys.stdin.buffer, config.reading)
    reader = FrameReader(source, stereo=config.stereo, max_len=config.max_len, max_res=config.max_res)
    folder = folder or Path()
    stem = shortened(source.stem)
    paths = {"vis": folder / f"{stem}_vis.mp4", "npy": folder / f"{stem}_depths_npy"}
    for kind in () if config.overwrite else kinds:
        refuse_existing(paths[kind])
    inside, view_notes = find_view(reader, config.mask)
    estimator, _ = load_estimator(weights, config)
    with StopsHeld() as stops:
        session = _recorded(
            reader, estimator, config, {kind: paths[kind] for kind in kinds}, inside, colours_span, stops
        )
        if session.seconds and not config.quiet:
            for note in (*source.notes, *view_notes):
                print(f"{source.name}: {note}", file=sys.stderr)
            print(f"{source.name}: {len(session.seconds)} frames, {Latency.of(session.seconds)}")
        return _exit_code(session)


def _recorded(
    reader: FrameReader,
    estimator,
    config: StreamConfig,
    paths: dict[str, Path],
    inside: np.ndarray | None,
    colours_span: tuple[float, float] | None,
    stops: StopsHeld,
) -> Session:
    """Depth of every frame until something ends it; raises what ends it before the first one."""
    session, model, depth = Session(), estimator.config, estimator.stream(inside)
    table = colour_table(config.cmap)
    low, high = colours_span or (np.inf, -np.inf)
    with contextlib.ExitStack() as files:
        append, save = None, None
        if "vis" in paths:
            video, append = files.enter_context(live_video(paths["vis"], reader.fps, reader.pixel_aspect))
            session.outputs.append(video)
        if "npy" in paths:
            folder, save = files.enter_context(live_npy(paths["npy"]))
            session.outputs.append(folder)
        bar = files.enter_context(progress_bar(reader.count, "stream", config.quiet))
        frames = iter(reader)
        try:
            while True:
                with stops.let_through():
                    frame = next(frames, None)
                    if frame is None:
                        break
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
                session.seconds.append(elapsed)
                bar.set_postfix_str(f"{elapsed * 1000:.0f} ms", refresh=False)
                bar.update()
        except (KeyboardInterrupt, Exception) as error:
            if not session.seconds:
                raise
            session.ended = error
    if session.as_wanted:  # the last fragment of a video may not fit on the disk
        session.ended = next((output.failure for output in session.outputs if output.failure), session.ended)
    return session


def _exit_code(session: Session) -> int:
    """Says why a session ended early and what is kept; raises what is a bug."""
    ended = session.ended
    if ended is None or session.as_wanted:
        return EXIT_OK
    if isinstance(ended, ReadingStopped) and all(output.frames == len(session.seconds) for output in session.outputs):
        print(f"endodav stream: {ended}; the {len(session.seconds)} frames before this are kept", file=sys.stderr)
        return EXIT_SOME_FAILED
    if isinstance(ended, Terminated):
        print(f"endodav stream: stopped by SIGTERM; {session.told}", file=sys.stderr)
        return EXIT_PREEMPTED
    if isinstance(ended, UserError):
        print(f"endodav stream: {ended}; {session.told}", file=sys.stderr)
        return EXIT_USER_ERROR if session.outputs and not session.kept else EXIT_SOME_FAILED
    print(f"endodav stream: stopped by a bug in this program; {session.told}", file=sys.stderr)
    raise ended
