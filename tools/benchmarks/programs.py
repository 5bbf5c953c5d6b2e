"""Each program of inference by itself: its place under the roofline, and what XLA computes in which dtype.

    python tools/benchmark.py programs --preset vits

The roof of a program is the rate of large matrix products, or what memory allows if each of its products and
convolutions reads its operands from memory once and writes its result there, as without any fusion.

Times are processor time, so that other work on the machine matters little; on one core (`taskset -c 0`) they equal
wall time.  The types are those of the program as XLA compiled it: what it converts, and in which type products,
convolutions and exponentials run.
"""

import argparse
import collections
import dataclasses
import math
import re
import time

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks import _machine, _networks, _options

from endodav_jax.inference import programs
from endodav_jax.inference.network import JaxNetwork
from endodav_jax.inference.windowed import Batching
from endodav_jax.inference.windows import WINDOW_FRAMES
from endodav_jax.models import merge_adapters
from endodav_jax.plain_table import plain_table

HELP = "GFLOP/s of each program of inference, and the types that XLA computes in"

PRECISIONS = ("float32", "bfloat16")
_INSTRUCTION = re.compile(r"= (?P<type>[a-z0-9]+)\[(?P<shape>[0-9,]*)\]\S* (?P<name>[a-z-]+)\((?P<operands>[^)]*)\)")
_COUNTED = {"dot": "products", "convolution": "convolutions", "exponential": "exponentials", "convert": "conversions"}
ALONE = "conversions by themselves"  # these go through memory, since they are not fused with anything


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments."""
    add = parser.add_argument
    add("--family", choices=_networks.WINDOW_FAMILIES, default="endodav")
    add("--preset", choices=("vitt", "vits", "vitb", "vitl"), default="vits")
    add("--weights", default="", help="a checkpoint folder; without it, random weights (the same work)")
    add(
        "--turns",
        type=_options.at_least(1),
        default=3,
        help="of each program, of which the least time counts (default: 3)",
    )
    add("--json", type=_options.figures_file, help="write the figures there, too")


def run_arguments(args: argparse.Namespace) -> None:
    """Measures and prints."""
    figures = measure(args)
    print(report(figures))
    _options.write_figures(figures, args.json)


def measure(args: argparse.Namespace) -> dict:
    """All figures, as a tree that JSON can hold."""
    rates = {name: _machine.matrix_rate(jnp.dtype(name), time.process_time) for name in PRECISIONS}
    memory = _machine.memory_rate(time.process_time)
    config, params = _networks.network(args.family, args.preset, args.weights)
    return {
        "machine": _machine.describe(),
        "network": {"family": config.family, "preset": config.preset, "image_shape": list(config.image_shape)},
        "matrix_gflops": rates,
        "memory_gb_per_s": memory,
        "programs": [
            entry | {"precision": precision}
            for precision in PRECISIONS
            for entry in _of_precision(config, params, precision, args.turns)
        ],
    }


def _of_precision(config, params: dict, precision: str, turns: int) -> list[dict]:
    network = JaxNetwork(*merge_adapters(dataclasses.replace(config, precision=precision), params))
    config, params, batching = network.config, network.params, Batching.for_backend()
    images = jnp.asarray(np.random.default_rng(0).random((batching.encoded, *config.image_shape, 3), np.float32))
    bank = network.empty_bank(WINDOW_FRAMES)
    path_3 = network.coarse(bank)
    calls = {
        # The bank is given up by `encode_into`: what is timed is the encoder with a bank of its own two rows.
        "encode": (programs.encode_into, (params, network.empty_bank(batching.encoded), images, np.int32(0)), {}),
        "coarse": (programs.coarse, (params, bank), {"length": WINDOW_FRAMES}),
        "fine": (programs.fine, (params, path_3, bank, np.int32(0)), {"count": batching.decoded}),
    }
    frames = {"encode": batching.encoded, "coarse": WINDOW_FRAMES, "fine": batching.decoded}
    found = []
    for name, (program, arguments, options) in calls.items():
        traced = program.trace(*arguments, **options, config=config)
        compiled = traced.lower().compile()
        seconds = []
        for _ in range(turns + 1):
            given = arguments if name != "encode" else (params, network.empty_bank(batching.encoded), *arguments[2:])
            started = time.process_time()
            jax.block_until_ready(compiled(*given))
            seconds.append(time.process_time() - started)
        jaxpr = traced.jaxpr.jaxpr
        flops = _machine.matrix_flops(jaxpr)
        found.append({"program": name, "frames": frames[name], "processor_ms": 1e3 * min(seconds[1:]),
                      "gflop": flops / 1e9, "gflops": flops / 1e9 / min(seconds[1:]),
                      "flop_per_byte": flops / _machine.matrix_bytes(jaxpr),
                      "types": types_of(compiled.as_text())})  # fmt: skip
    return found


def types_of(text: str) -> dict[str, dict[str, float]]:
    """Millions of values by kind of operation and by the types of what goes in and comes out.

    Args:
      text: a compiled program.  Bodies of loops count once.
    """
    counts: dict[str, collections.Counter] = {kind: collections.Counter() for kind in (*_COUNTED.values(), ALONE)}
    types: dict[str, str] = {}
    alone = False
    for line in text.splitlines():
        if line.startswith("%"):
            alone = line.startswith("%wrapped_convert")
        named = re.match(r"\s*(?:ROOT )?(%?[\w.-]+) = ([a-z0-9]+)\[", line)
        if named:
            types[named[1].lstrip("%")] = named[2]
        match = _INSTRUCTION.search(line)
        if match is None or match["name"] not in _COUNTED:
            continue
        operand = re.search(r"%([\w.-]+)", match["operands"])
        before = types.get(operand[1], "?") if operand else "?"
        label = match["type"] if match["name"] == "exponential" else f"{before} to {match['type']}"
        size = math.prod(int(n) for n in match["shape"].split(",") if n)
        counts[ALONE if alone else _COUNTED[match["name"]]][label] += size / 1e6
    return {kind: dict(counter) for kind, counter in counts.items()}


def report(figures: dict) -> str:
    """The figures for a reader."""
    rates, network = figures["matrix_gflops"], figures["network"]
    rows = [
        ("program", "precision", "processor ms a frame", "GFLOP a frame", "FLOP a byte", "roof", "GFLOP/s", "of it")
    ]
    for entry in figures["programs"]:
        roof = min(rates[entry["precision"]], entry["flop_per_byte"] * figures["memory_gb_per_s"])
        rows.append(
            (entry["program"], entry["precision"], f"{entry['processor_ms'] / entry['frames']:.1f}",
             f"{entry['gflop'] / entry['frames']:.2f}", f"{entry['flop_per_byte']:.0f}", f"{roof:.0f}",
             f"{entry['gflops']:.0f}", f"{entry['gflops'] / roof:.0%}")
        )  # fmt: skip
    lines = [
        f"{network['family']} {network['preset']} at {network['image_shape']}, {figures['machine']}",
        f"matrix products: {', '.join(f'{rate:.0f} GFLOP/s {name}' for name, rate in rates.items())}; "
        f"memory: {figures['memory_gb_per_s']:.1f} GB/s",
        *plain_table(rows, left=2),
        "millions of values, by the types of what goes in and comes out (bodies of loops once):",
    ]
    for entry in figures["programs"]:
        for kind, counter in entry["types"].items():
            said = ", ".join(f"{label} {size:.1f}" for label, size in sorted(counter.items()))
            lines.append(f"  {entry['program']} {entry['precision']} {kind}: {said or 'none'}")
    return "\n".join(lines)
