"""A split ready to be read, from whatever the user has: a prepared data set, or a download that is prepared first."""

from pathlib import Path
from typing import NamedTuple

from endodav_jax.data.kinds import source_class
from endodav_jax.data.prepare import build, find_sequences, forms_of
from endodav_jax.data.prepared import find_split, prepared_folders


class Obtained(NamedTuple):
    """Where a split lies.

    Attributes:
      folder: of the prepared data set that has it.
      notices: one line for each sequence that the download lacks.
    """

    folder: Path
    notices: tuple[str, ...]


def obtain_split(kind: str, place: Path, split: str, out: Path, quiet: bool = False) -> Obtained:
    """Finds a split at `place`, or prepares it below `out` where `place` is a download.

    A preparation that was stopped goes on, a finished one is found again.  Sequences that are missing are left out,
    since some downloads lack some.

    Args:
      kind: of the source, a key of `data.kinds.KINDS`.
      place: a download as `endodav prepare` takes it, or a folder at or above data sets that it made.
      split: its name.
      out: root of the data sets made here.
      quiet: no progress bar.

    Raises:
      UserError: nothing is there, no sequence of the split is, a frame is bad, or several data sets have the split.
    """
    place = place.expanduser()
    if place.is_dir() and prepared_folders(place):
        return Obtained(find_split(place, split), ())
    source = source_class(kind)(place)
    (form,) = forms_of(source, [split])
    sequences, infos, missing = find_sequences(source, form.splits, skip_missing=True)
    folder = build(kind, source, form, sequences, infos, out, settings={}, quiet=quiet)
    return Obtained(folder, tuple(missing))
