"""`endodav stream`: frame in, depth out, for a camera, a pipe or a file played as if it were live."""

import argparse
import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from endodav_jax.inference.config import PRECISIONS, fixed_range
from endodav_jax.jobs.infer import add_colour_arguments, add_reading_arguments
from endodav_jax.jobs.weights import load_estimator
from endodav_jax.jobs.write_depth import depth_inside
from endodav_jax.models.config import BACKBONES
from endodav_jax.progress import progress_bar
from endodav_jax.video.colour import colour_table, colourise
from endodav_jax.video.depth_files import DepthFrame, npy_writer
from endodav_jax.video.encoder import mp4_writer
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.live import open_live
from endodav_jax.video.reader import FrameReader
from endodav_jax.video.view_mask import view_of

OUTPUTS = ("vis", "npy")


@dataclasses.dataclass(frozen=True)
class Latency:
    """Milliseconds from a frame to its depth.

    Attributes:
      start: of the first two together, at which programs are compiled.
      median: of the others.
      slow: 95 of 100 of the others are faster.
    """

    start: float
    median: float
    slow: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Latency":
        """Summarises the seconds of each frame; where there are no others, the last stands for them."""
        others = np.asarray(seconds[2:] or seconds[-1:]) * 1000
        return cls(sum(seconds[:2]) * 1000, float(np.median(others)), float(np.percentile(others, 95)))

    def __str__(self) -> str:
        return f"latency {self.median:.1f} ms (95%: {self.slow:.1f} ms; first two frames: {self.start:.0f} ms)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments of `endodav stream`."""
    add = parser.add_argument
    add("source", metavar="SOURCE", help="a file, a camera's number (0), an address (rtsp://...), or - for a pipe")
    add("-o", "--output", default="", metavar="FOLDER", help="where outputs go; without it only latency is shown")
    add("--save", default="vis", metavar="LIST", help=f"of {','.join(OUTPUTS)} (%(default)s)")
    add("--raw", type=_size, metavar="WxH", help="the pipe holds RGB24 pixels of this size, no container")
    add("--weights", default="", metavar="FOLDER", help="a converted checkpoint (see: endodav convert --help)")
    add("--encoder", default="", choices=tuple(BACKBONES), help="refuse weights of another size")
    add("--precision", default=PRECISIONS[0], choices=PRECISIONS, help="of activations (%(default)s)")
    add_reading_arguments(parser)
    add_colour_arguments(parser)
    add("--range", default="", metavar="LOW,HIGH", help="disparities that the colours span (widest seen so far)")
    add("--overwrite", action="store_true", help="replace outputs that exist")
    add("--quiet", action="store_true", help="print nothing but errors")


def run_arguments(args: argparse.Namespace) -> int:
    """Runs `endodav stream` and returns its exit code."""
    return stream(args, load_estimator)


def stream(args: argparse.Namespace, load: Callable) -> int:
    """Pushes frames through the estimator one by one until the source ends or the user interrupts.

    The range of colours cannot be the clip's, which is not known yet: it is the widest seen so far, so that it never
    jumps back, or the one that `--range` fixes.

    Args:
      load: `load(weights, encoder, precision)` gives an estimator, whose `stream()` has `push(frame)`, and its card.

    Raises:
      UserError: the source, the weights or the outputs.
    """
    colours_span = _range(args.range)
    kinds = _kinds(args.save) if args.output else ()
    source = open_live(args.source, args.raw, sys.stdin.buffer)
    reader = FrameReader(source, stereo=args.stereo, max_len=args.max_len, max_res=args.max_res)
    folder = Path(args.output)
    paths = {"vis": folder / f"{source.stem}_vis.mp4", "npy": folder / f"{source.stem}_depths_npy"}
    for kind in kinds:
        if paths[kind].exists() and not args.overwrite:
            raise UserError(f"{paths[kind]}: exists already; pass --overwrite to replace it")
    inside = view_of(reader, args.mask)
    depth = load(args.weights, args.encoder, args.precision)[0].stream(inside)
    table = colour_table("gray" if args.grayscale else args.cmap)
    seconds: list[float] = []
    stopped = None
    with contextlib.ExitStack() as files:
        append = files.enter_context(mp4_writer(paths["vis"], reader.fps)) if "vis" in kinds else None
        save = files.enter_context(npy_writer(paths["npy"])) if "npy" in kinds else None
        bar = files.enter_context(progress_bar(reader.count, "stream", args.quiet))
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
                    append(colourise(disparity, low, high, table, inside), frame.time)
                if save is not None:
                    save(DepthFrame(frame.index, disparity, depth_inside(disparity, inside)))
                seconds.append(elapsed)
                bar.set_postfix_str(f"{elapsed * 1000:.0f} ms", refresh=False)
                bar.update()
        except ReadingStopped as error:
            stopped = error
        except KeyboardInterrupt:  # how a live source ends; what was written is whole
            if not seconds:
                raise
    if seconds and not args.quiet:
        print(f"{source.name}: {len(seconds)} frames, {Latency.of(seconds)}")
    if stopped is not None:
        print(f"endodav stream: {stopped}; the {len(seconds)} frames before are kept", file=sys.stderr)
        return EXIT_SOME_FAILED
    return EXIT_OK


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(part.strip() for part in text.split(",") if part.strip())
    for kind in kinds:
        if kind not in OUTPUTS:
            raise UserError(f"--save: {kind!r} is not one of {', '.join(OUTPUTS)}")
    return kinds


def _range(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        return fixed_range(text)
    except ValueError as error:
        raise UserError(f"--range {text}: give two numbers, LOW,HIGH, the lower one first") from error


def _size(text: str) -> tuple[int, int]:
    """Returns (height, width) of `WxH`."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        width = height = 0
    if width < 1 or height < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 640x480")
    return height, width
