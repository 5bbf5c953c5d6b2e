"""Can depth be learned from these data?  Parallax by interval, and with true depth what the photometric error sees.

    python tools/benchmark.py signal data/own --split train
    python tools/benchmark.py signal phantom:organ --size 96x128 --seed 77

One table for all sequences looked at.  `parallax px` is estimated from optical flow alone; with depth and poses follow
the true parallax, the photometric error of a frame against its warped neighbour, and how many times as large it is
when the relief about the median depth is scaled to 90%, to 70%, and to a plane.
"""

import argparse
import dataclasses

from benchmarks import _options

from endodav_jax.data.phantom import PhantomConfig, render_sequence
from endodav_jax.data.phantom.families import FAMILIES
from endodav_jax.data.prepared import PreparedSplit
from endodav_jax.data.signal import Signal, table
from endodav_jax.data.signal_of import frames_needed, signal_of_frames, signal_of_split
from endodav_jax.data.sources.base import SourceFrame
from endodav_jax.fields import size

HELP = "parallax by interval; photometric error of the truth against flatter relief"
PHANTOM = "phantom:"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments."""
    add = parser.add_argument
    add("data", help=f"prepared data set, or {PHANTOM}FAMILY with FAMILY one of {', '.join(FAMILIES)}")
    add("--split", default="train", help="of a prepared data set (default: train)")
    add("--sequences", type=_options.at_least(1), default=8, help="to look at (default: 8)")
    add("--size", type=size, default=(128, 160), metavar="HxW", help="of a phantom (default: 128x160)")
    add("--seed", type=int, default=77, help="of a phantom (default: 77)")
    add("--frames", type=_options.at_least(1), default=64, help="of a phantom's sequence (default: 64)")


def run_arguments(args: argparse.Namespace) -> None:
    """Prints the table."""
    print("\n".join(table(_signal(args))))


def _signal(args: argparse.Namespace) -> Signal:
    if args.data.startswith(PHANTOM):
        height, width = args.size
        family = args.data.removeprefix(PHANTOM)
        sizes = {"sequences": args.sequences, "frames": args.frames, "height": height, "width": width}
        return signal_of_phantom(_options.phantom(family, seed=args.seed, **sizes))
    split = PreparedSplit.open(args.data, args.split)
    count = len(split.sequences)
    return signal_of_split(split, sorted({i * count // args.sequences for i in range(args.sequences)}))


def signal_of_phantom(config: PhantomConfig) -> Signal:
    """The signal of every sequence of a phantom; instruments do not count."""
    needed = frames_needed(config.frames)
    fields = {field.name for field in dataclasses.fields(SourceFrame)}
    sequences = []
    for number in range(config.sequences):
        frames = {}
        for values in render_sequence(config, number):
            if values["frame_index"] in needed:
                kept = {key: value for key, value in values.items() if key in fields}
                frames[values["frame_index"]] = SourceFrame(**kept, frame_mask=~values["tool"])
        sequences.append(frames)
    return signal_of_frames(sequences, [config.frames] * config.sequences)
