"""Measures one part of the program: `python tools/benchmark.py PART --help`.

Each part is a module of `tools/benchmarks` with `HELP`, `add_arguments(parser)` and `run_arguments(args)`.
"""

import argparse
import importlib
import sys
from pathlib import Path

from endodav_jax.errors import exit_code

PARTS = sorted(path.stem for path in (Path(__file__).parent / "benchmarks").glob("[a-z]*.py"))


def main(argv: list[str] | None = None) -> None:
    """Runs one part; only its module is imported."""
    argv = sys.argv[1:] if argv is None else argv
    chosen = next((word for word in argv if word in PARTS), None)
    parser = argparse.ArgumentParser(prog="benchmark.py", description="Measures one part of the program.")
    subparsers = parser.add_subparsers(dest="part", metavar="PART", required=True, help=", ".join(PARTS))
    for name in PARTS:
        subparser = subparsers.add_parser(name)
        if name == chosen:
            importlib.import_module(f"benchmarks.{name}").add_arguments(subparser)
    args = parser.parse_args(argv)
    run = importlib.import_module(f"benchmarks.{args.part}").run_arguments
    sys.exit(exit_code(parser.prog, lambda: run(args)))


if __name__ == "__main__":
    main()
