"""Frames of a phantom per second, with depth, poses and masks, as data sets and the quickstart render them.

    python tools/benchmark.py render --size 128x160
    python tools/benchmark.py render --family organ --tools 3

A family's program is compiled first, by a sequence that is not counted.  Drawing the scenes is part of the time.
"""

import argparse
import collections
import time

from benchmarks import _machine, _options

from endodav_jax import process
from endodav_jax.data.phantom import PhantomConfig, render_sequence
from endodav_jax.data.phantom.families import FAMILIES
from endodav_jax.fields import size
from endodav_jax.plain_table import plain_table

HELP = "frames of a phantom rendered per second, by family"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments."""
    add = parser.add_argument
    add("--family", nargs="+", choices=FAMILIES, default=list(FAMILIES), help="default: all")
    add("--size", type=size, default=(128, 160), metavar="HxW", help="default: 128x160")
    add("--frames", type=_options.at_least(1), default=64, help="of a sequence (default: 64)")
    add("--sequences", type=_options.at_least(1), default=3, help="to time of each family (default: 3)")
    add("--tools", type=_options.at_least(0), default=0, help="instruments in a scene, at most (default: none)")
    add("--seed", type=int, default=77, help="of the phantoms (default: 77)")
    add("--json", type=_options.figures_file, help="write the figures there, too")


def run_arguments(args: argparse.Namespace) -> None:
    """Renders, prints and writes the figures."""
    height, width = args.size
    given = {"frames": args.frames, "height": height, "width": width, "tools": args.tools}
    phantoms = [_options.phantom(name, sequences=args.sequences + 1, seed=args.seed, **given) for name in args.family]
    process.set_up()
    rates = {config.family: frames_per_second(config) for config in phantoms}
    rows = [["family", "frames per second"], *([name, f"{frames:.0f}"] for name, frames in rates.items())]
    print("\n".join(plain_table(rows)))
    _options.write_figures({"machine": _machine.describe(), "families": rates}, args.json)


def frames_per_second(config: PhantomConfig) -> float:
    """Frames per second of all sequences but the first, which compiles the program."""
    _render(config, 0)
    started = time.perf_counter()
    for sequence in range(1, config.sequences):
        _render(config, sequence)
    return (config.sequences - 1) * config.frames / (time.perf_counter() - started)


def _render(config: PhantomConfig, sequence: int) -> None:
    collections.deque(render_sequence(config, sequence), maxlen=0)
