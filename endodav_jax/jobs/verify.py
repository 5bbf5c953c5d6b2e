"""`endodav verify KIND PATH`: a table of complete, missing and unusual items, and contact sheets."""

import dataclasses
import functools
import operator
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import tyro

from endodav_jax.data.kinds import KINDS, options_type, source_class
from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from endodav_jax.fields import Listed, flat, positional, spelled

if TYPE_CHECKING:
    from endodav_jax.data.verify import Report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verify:
    """Checks prepared data sets for missing and unusual items.

    Attributes:
      path: folder of a data set written by `endodav prepare`, or of several.
      split: splits, separated by commas; all by default.
      samples: number of frames to inspect in each sequence.
      contact_sheet: image file in which to draw these frames and their depth.
    """

    path: Annotated[str, *positional("PATH")]
    split: Annotated[tuple[str, ...], Listed] = ()
    samples: int = 4
    contact_sheet: Annotated[Path | None, spelled(metavar="PNG")] = None

    def reports(self) -> Iterable["Report"]:
        """Looks at one sequence after the other."""
        from endodav_jax.data.verify import verify_prepared

        return verify_prepared(self.path, self.split, samples=self.samples)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifySource(Verify):
    """Checks a download for missing and unusual items.

    Attributes:
      every_frame: decode all frames and name every bad one.
    """

    kind: ClassVar[str]

    every_frame: bool = False

    def reports(self) -> Iterable["Report"]:
        """Looks at one sequence after the other."""
        from endodav_jax.data.verify import verify_source

        source = source_class(self.kind)(self.path, **getattr(self, self.kind).given())
        return verify_source(source, self.split, samples=self.samples, every_frame=self.every_frame)


def _of_kind(kind: str, place: str) -> object:
    """Returns the arguments for one kind of download, including the options of its source."""
    options = options_type(kind)
    command = dataclasses.make_dataclass(
        f"Verify{kind.capitalize()}",
        [(kind, flat(options), dataclasses.field(default=options()))],
        bases=(VerifySource,),
        namespace={
            "__module__": __name__,
            "kind": kind,
            "__doc__": f"Checks a {kind} download for missing and unusual items. PATH: {place}.",
        },
        frozen=True,
        kw_only=True,
    )
    return Annotated[command, tyro.conf.subcommand(kind, description=place)]


Command = functools.reduce(
    operator.or_,
    (_of_kind(kind, entry.place) for kind, entry in KINDS.items()),
    Annotated[Verify, tyro.conf.subcommand("prepared", description="folder written by `endodav prepare`")],
)


def run(command: Verify) -> int:
    """Prints the table and returns 1 if anything is missing or unusual."""
    if command.samples < 1:
        raise UserError(f"--samples {command.samples}: must be at least 1")
    from endodav_jax.data.contact_sheet import check_sheet, save_contact_sheet
    from endodav_jax.data.verify import table

    if command.contact_sheet is not None:
        check_sheet(command.contact_sheet)
    reports = command.reports()
    counts = {"whole": 0, "odd": 0, "missing": 0}
    rows: list[np.ndarray] | None = [] if command.contact_sheet else None
    for line in table(_noted(reports, counts, rows)):
        print(line, flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if rows is not None and command.contact_sheet is not None:
        save_contact_sheet(command.contact_sheet, rows)
    return EXIT_OK if counts["whole"] == sum(counts.values()) else EXIT_SOME_FAILED


def _noted(reports: Iterable["Report"], counts: dict[str, int], rows: list[np.ndarray] | None) -> Iterator["Report"]:
    """Yields the reports, counts their verdicts and draws their rows immediately: full-size frames are not kept."""
    from endodav_jax.data.contact_sheet import contact_row

    for report in reports:
        counts[report.verdict] += 1
        if rows is not None and report.samples:
            rows.append(contact_row(f"{report.sequence}   {report.size}   {report.verdict}", report.samples))
        yield report
