"""`endodav prepare KIND SRC OUT`: converts a download to data sets for training and evaluation."""

import dataclasses
import functools
import operator
import sys
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from endodav_jax.data.builders.encoding import Storage
from endodav_jax.data.kinds import KINDS, options_type, source_class
from endodav_jax.errors import UserError
from endodav_jax.fields import Listed, Size, flat, positional


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepare:
    """Arguments common to all kinds.

    Attributes:
      source: what to read: a download, your own videos, or a family of rendered scenes (organ, colon, ...).
      out: root folder of data sets; this data set gets its own subfolders.
      split: splits, separated by commas; by default train at 256x320 and, where the kind has them, validation and test
        at full size.
      size: height and width of all stored frames.
      full_size: store training frames at full size too.
      storage: lossless format: fast (BMP, default for training) or compact (PNG, default for evaluation).
      only: only sequences that match this pattern; can be given several times.
      on_bad_frame: stop at a bad frame, or skip it.
      on_missing: likewise for missing sequences.
      workers: number of processes.
      overwrite: replace an existing data set.
      quiet: show no progress bar.
    """

    kind: ClassVar[str]

    source: Annotated[str, *positional("SRC")]
    out: Annotated[Path, *positional("OUT")]
    split: Annotated[tuple[str, ...], Listed] = ()
    size: Annotated[tuple[int, int] | None, Size] = None
    full_size: bool = False
    storage: Storage | None = None
    only: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    on_bad_frame: Literal["error", "skip"] = "error"
    on_missing: Literal["error", "skip"] = "error"
    workers: int = 1
    overwrite: bool = False
    quiet: bool = False

    @property
    def given(self) -> dict:
        """Options of the source that differ from their defaults, by name."""
        return getattr(self, self.kind).given()


def _of_kind(kind: str, place: str) -> object:
    """Returns the arguments for one kind of download, including the options of its source."""
    options = options_type(kind)
    command = dataclasses.make_dataclass(
        f"Prepare{kind.capitalize()}",
        [(kind, flat(options), dataclasses.field(default=options()))],
        bases=(Prepare,),
        namespace={"__module__": __name__, "kind": kind, "__doc__": f"Prepares a {kind} data set. SRC: {place}."},
        frozen=True,
        kw_only=True,
    )
    return Annotated[command, tyro.conf.subcommand(kind, description=place)]


Command = functools.reduce(operator.or_, (_of_kind(kind, entry.place) for kind, entry in KINDS.items()))


def run(command: Prepare) -> None:
    """Builds the requested data sets; prints a line for each, and a line for everything that was skipped."""
    if command.workers < 1:
        raise UserError(f"--workers {command.workers}: must be at least 1")
    if command.size and command.full_size:
        raise UserError("--full-size: --size is also given; use only one of them")
    from endodav_jax.data.prepare import build, camera_notes, find_sequences, forms_of, summary

    source = source_class(command.kind)(command.source, **command.given)
    for form in forms_of(source, command.split, command.size, command.full_size, command.storage):
        sequences, infos, missing = find_sequences(source, form.splits, command.only, command.on_missing == "skip")
        for line in missing:
            print(f"skipped: {line}", file=sys.stderr)
        for note in dict.fromkeys(note for info in infos.values() for note in info.notes):
            print(note, file=sys.stderr)
        for note in camera_notes(infos):
            print(note, file=sys.stderr)
        folder = build(
            command.kind,
            source,
            form,
            sequences,
            infos,
            command.out,
            settings={name: str(value) for name, value in command.given.items()},
            on_bad_frame=command.on_bad_frame,
            workers=command.workers,
            overwrite=command.overwrite,
            quiet=command.quiet,
        )
        print(summary(folder))
