"""`endodav verify KIND PATH`: a table of what is whole, missing or odd, and contact sheets to look at."""

import argparse
from collections.abc import Iterable, Iterator

import numpy as np

from endodav_jax.data.contact_sheet import contact_row, save_contact_sheet
from endodav_jax.data.kinds import KINDS, source_class, source_options
from endodav_jax.data.verify import Report, table, verify_prepared, verify_source
from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED

HELP = "check a download or a prepared data set and draw contact sheets"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a sub-command for each kind of download, and one for what is prepared."""
    places = {"prepared": "folder that `endodav prepare` made"} | {kind: place for kind, (_, place) in KINDS.items()}
    kinds = parser.add_subparsers(dest="kind", metavar="{" + ",".join(places) + "}", required=True)
    for kind, place in places.items():
        of_kind = kinds.add_parser(kind, help=place)
        of_kind.add_argument("path", metavar="PATH", help=place)
        of_kind.add_argument("--split", help="splits, separated by commas (default: all there are)")
        of_kind.add_argument("--samples", type=int, default=4, metavar="N", help="frames of each sequence to look at")
        of_kind.add_argument("--contact-sheet", metavar="PNG", help="draw these frames and their depth")
        if kind != "prepared":
            of_kind.add_argument("--every-frame", action="store_true", help="decode all frames and name every bad one")
            for option in source_options(kind):
                option.add_to(of_kind)


def run_arguments(args: argparse.Namespace) -> int:
    """Prints the table and returns 1 if anything is missing or odd."""
    splits = [split.strip() for split in args.split.split(",")] if args.split else []
    if args.kind == "prepared":
        reports = verify_prepared(args.path, splits, samples=args.samples)
    else:
        given = {option.name: getattr(args, option.name) for option in source_options(args.kind)}
        source = source_class(args.kind)(args.path, **{k: v for k, v in given.items() if v is not None})
        reports = verify_source(source, splits, samples=args.samples, every_frame=args.every_frame)
    counts = {"whole": 0, "odd": 0, "missing": 0}
    rows: list[np.ndarray] | None = [] if args.contact_sheet else None
    for line in table(_noted(reports, counts, rows)):
        print(line, flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if rows is not None:
        save_contact_sheet(args.contact_sheet, rows)
    return EXIT_OK if counts["whole"] == sum(counts.values()) else EXIT_SOME_FAILED


def _noted(reports: Iterable[Report], counts: dict[str, int], rows: list[np.ndarray] | None) -> Iterator[Report]:
    """Passes reports on, counts their verdicts and draws their rows at once: full-size frames are not kept."""
    for report in reports:
        counts[report.verdict] += 1
        if rows is not None and report.samples:
            rows.append(contact_row(f"{report.sequence}   {report.size}   {report.verdict}", report.samples))
        yield report
