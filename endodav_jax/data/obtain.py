"""Obtains a split from a prepared data set, or from a download that is prepared first."""

from pathlib import Path
from typing import NamedTuple

from endodav_jax.data.kinds import source_class
from endodav_jax.data.prepare import build, find_sequences, forms_of
from endodav_jax.data.prepared import find_split, prepared_folders


class Obtained(NamedTuple):
    """The location of a split.

    Attributes:
      folder: folder of the prepared data set with the split.
      notices: one line for each sequence missing in the download.
    """

    folder: Path
    notices: tuple[str, ...]


def obtain_split(kind: str, place: Path, split: str, out: Path, quiet: bool = False) -> Obtained:
    """Finds a split at `place`, or prepares it in `out` if `place` is a download.

    A preparation that was stopped is resumed, and a finished one is reused.  Missing sequences are skipped, since some
    downloads are incomplete.

    Args:
      kind: kind of the source, a key of `data.kinds.KINDS`.
      place: a download as for `endodav prepare`, or a folder at or above data sets made by it.
      split: its name.
      out: root folder for new data sets.
      quiet: show no progress bar.

    Raises:
      UserError: nothing or no sequence of the split is found, a frame is bad, or several data sets have the split.
    """
    place = place.expanduser()
    if place.is_dir() and prepared_folders(place):
        return Obtained(find_split(place, split), ())
    source = source_class(kind)(place)
    (form,) = forms_of(source, [split])
    sequences, infos, missing = find_sequences(source, form.splits, skip_missing=True)
    folder = build(kind, source, form, sequences, infos, out, settings={}, quiet=quiet)
    return Obtained(folder, tuple(missing))
