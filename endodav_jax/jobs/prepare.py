"""`endodav prepare KIND SRC OUT`: a download becomes data sets that train and evaluate."""

import argparse
import re
import sys

from absl import logging

from endodav_jax.data.kinds import KINDS, source_class, source_options
from endodav_jax.data.prepare import build, find_sequences, forms_of, summary

HELP = "make a data set from a download, an endoscope's own video, or the phantom"


def image_shape(text: str) -> tuple[int, int]:
    """Reads HEIGHTxWIDTH."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or "0" in match.groups():
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, as in 256x320")
    return int(match[1]), int(match[2])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a sub-command for each kind, with the options that its source declares."""
    kinds = parser.add_subparsers(dest="kind", metavar="{" + ",".join(KINDS) + "}", required=True)
    for kind, (_, place) in KINDS.items():
        of_kind = kinds.add_parser(kind, help=place)
        of_kind.add_argument("source", metavar="SRC", help=place)
        of_kind.add_argument("out", metavar="OUT", help="root of data sets; this one gets folders of its own below")
        of_kind.add_argument(
            "--split", help="splits, separated by commas (default: train at 256x320, validation and test at full size)"
        )
        size = of_kind.add_mutually_exclusive_group()
        size.add_argument("--size", type=image_shape, metavar="HxW", help="height and width of all stored frames")
        size.add_argument("--full-size", action="store_true", help="store training frames at full size too")
        of_kind.add_argument(
            "--storage",
            choices=("fast", "compact"),
            help="lossless files: fast (BMP, default for training) or compact (PNG, default for evaluation)",
        )
        of_kind.add_argument("--only", action="append", default=[], metavar="PATTERN", help="only these sequences")
        of_kind.add_argument(
            "--on-bad-frame", choices=("error", "skip"), default="error", help="end at a bad frame, or leave it out"
        )
        of_kind.add_argument(
            "--on-missing", choices=("error", "skip"), default="error", help="the same for sequences that are missing"
        )
        of_kind.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")
        of_kind.add_argument("--overwrite", action="store_true", help="replace a data set that is there")
        of_kind.add_argument("--quiet", action="store_true", help="no progress bar")
        for option in source_options(kind):
            option.add_to(of_kind)


def run_arguments(args: argparse.Namespace) -> None:
    """Builds the forms asked for and prints a line on each, and a line for all that was left out."""
    logging.set_verbosity(logging.ERROR)  # TFDS warns of every configuration that is not its own
    given = {option.name: getattr(args, option.name) for option in source_options(args.kind)}
    given = {name: value for name, value in given.items() if value is not None}
    source = source_class(args.kind)(args.source, **given)
    splits = [split.strip() for split in args.split.split(",")] if args.split else []
    for form in forms_of(source, splits, args.size, args.full_size, args.storage):
        sequences, infos, missing = find_sequences(source, form.splits, args.only, args.on_missing == "skip")
        for line in missing:
            print(f"skipped: {line}", file=sys.stderr)
        folder = build(
            args.kind,
            source,
            form,
            sequences,
            infos,
            args.out,
            settings={name: str(value) for name, value in given.items()},
            on_bad_frame=args.on_bad_frame,
            workers=args.workers,
            overwrite=args.overwrite,
            quiet=args.quiet,
        )
        print(summary(folder))
