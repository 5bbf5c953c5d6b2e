"""The console script `endodav`: every job under a friendly name.

Each command is a module of `endodav_jax.jobs` with `HELP` (one line), `add_arguments(parser)` and
`run_arguments(args) -> int | None` (the exit code).  A module is imported only when its command is used, so
`endodav --help` answers at once.
"""

import argparse
import importlib
import sys

from endodav_jax.errors import exit_code

# Command -> one line of help.  The module is endodav_jax.jobs.<command>.
COMMANDS = {
    "describe": "print a configuration's networks and its table of parameter groups",
    "convert": "convert published PyTorch weights, or write PyTorch names back",
    "export": "write what fine-tuning added as a small file, or a network with its adapters folded in",
    "infer": "depth of a video, a folder of images or one image",
    "stream": "depth of a live source, frame in, depth out",
    "prepare": "make a data set from a download, an own video, or the phantom",
    "verify": "check a download or a prepared data set and draw contact sheets",
    "train": "fine-tune on endoscopic video without labels, as a configuration says",
    "evaluate": "measure a network's depth, or another method's predictions, against ground truth",
    "quickstart": "everything on a rendered phantom: measure, fine-tune without labels, measure again, report",
    "pretrain": "train a small foundation model on the phantom",
    "reproduce": "the tables of the paper, ours beside theirs, from your data and weights",
}


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """Returns the parser; only `command`'s own arguments are filled in."""
    parser = argparse.ArgumentParser(prog="endodav", description="Depth for endoscopic video.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        if name == command:
            importlib.import_module(f"endodav_jax.jobs.{name}").add_arguments(subparser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    command = next((word for word in argv if word in COMMANDS), None)
    args = build_parser(command).parse_args(argv)
    job = importlib.import_module(f"endodav_jax.jobs.{args.command}")
    return exit_code(f"endodav {args.command}", lambda: job.run_arguments(args))


if __name__ == "__main__":
    sys.exit(main())
