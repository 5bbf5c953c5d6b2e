"""Measures one part of the program: `python tools/benchmark.py PART --help`.

Each part is a module of `tools/benchmarks` with `HELP`, `add_arguments(parser)` and `run_arguments(args)`, which
returns an exit code or None.
"""

import argparse
import importlib
import sys
from pathlib import Path
from typing import NoReturn

from endodav_jax.errors import UserError, exit_code

PARTS = sorted(path.stem for path in (Path(__file__).parent / "benchmarks").glob("[a-z]*.py"))


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others are."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def main(argv: list[str] | None = None) -> None:
    """Runs one part, of which only the module is imported, and exits."""
    argv = sys.argv[1:] if argv is None else argv
    sys.exit(exit_code("benchmark.py", lambda: run(argv)))


def run(argv: list[str]) -> int | None:
    """Runs one part; raises `UserError` for arguments that it does not take."""
    chosen = next((word for word in argv if word in PARTS), None)
    parser = Parser(prog="benchmark.py", description="Measures one part of the program.")
    subparsers = parser.add_subparsers(dest="part", metavar="PART", required=True, help=", ".join(PARTS))
    for name in PARTS:
        subparser = subparsers.add_parser(name)
        if name == chosen:
            importlib.import_module(f"benchmarks.{name}").add_arguments(subparser)
    args = parser.parse_args(argv)
    return importlib.import_module(f"benchmarks.{args.part}").run_arguments(args)


if __name__ == "__main__":
    main()
