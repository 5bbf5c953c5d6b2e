"""A split of a prepared data set: its sequences and their records."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from endodav_jax.data.builders.features import skip_image_decoding
from endodav_jax.data.builders.video import SEQUENCES_FILE, tfds_split
from endodav_jax.data.kinds import splits_of_data_set
from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of_text
from endodav_jax.video.undistort import Undistorter

_LEVELS = ("", "*/", "*/*/", "*/*/*/")  # a data set is at ROOT/NAME/CONFIG/VERSION; any of these can be given
_INFO_FILE = "dataset_info.json"  # of TFDS
_CARD_FIELDS = {"sequence", "frames", "bytes", "skipped"}  # which cards of all versions have
_CURE = "copy or prepare the data set again"


@dataclasses.dataclass(frozen=True)
class PreparedSplit:
    """A split on disk.  It can be pickled: files are opened when records are first read.

    Attributes:
      folder: of the TFDS data set (`.../NAME/CONFIG/VERSION`).
      split: its name.
      sequences: names, in file order.
      lengths: frames of each sequence.
      skipped: one line for each frame skipped when it was prepared.
    """

    folder: Path
    split: str
    sequences: tuple[str, ...]
    lengths: tuple[int, ...]
    skipped: tuple[str, ...]

    @classmethod
    def open(cls, path: str | Path, split: str) -> "PreparedSplit":
        """Opens a split and checks that its files exist with their full length.

        Raises:
          UserError: no data set with the split at or below `path`, or several; a file is missing or truncated.
        """
        folder = find_split(path, split)
        cards = read_cards(folder)
        with _damage_told(folder / _INFO_FILE):
            files = tfds.builder_from_directory(folder).info.splits[tfds_split(split)].filepaths
            pairs = list(zip(map(Path, files), cards[split], strict=True))
        for file, card in pairs:
            found = file.stat().st_size if file.exists() else 0
            if found != card["bytes"]:
                raise UserError(f"{file}: {found} of {card['bytes']} bytes; {_CURE}")
        return cls(
            folder=folder,
            split=split,
            sequences=tuple(card["sequence"] for card in cards[split]),
            lengths=tuple(card["frames"] for card in cards[split]),
            skipped=tuple(line for card in cards[split] for line in card["skipped"]),
        )

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        """int64 [sequences + 1]: number of the first record of each sequence, and of all records."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @functools.cached_property
    def _records(self):
        with _damage_told(self.folder / _INFO_FILE):
            builder = tfds.builder_from_directory(self.folder)
        return builder.as_data_source(tfds_split(self.split), decoders=skip_image_decoding(builder.info.features))

    def records(self, numbers: Iterable[int]) -> list[dict]:
        """Returns records by number, their images still encoded (see `builders.features`).

        Raises:
          UserError: they cannot be read; the sequence is named.
        """
        wanted = [int(number) for number in numbers]
        try:
            return self._records.__getitems__(wanted)
        except UserError:
            raise
        except Exception as error:  # Riegeli and TFDS raise a dozen kinds
            if len(wanted) > 1:
                return [self.records([number])[0] for number in wanted]  # raises at the one that is meant
            sequence = self.sequences[int(np.searchsorted(self.offsets, wanted[0], side="right")) - 1]
            raise UserError(f"{self.folder}: the records of {sequence} are damaged; {_CURE}") from error

    def undistorter(self, sequence: str) -> Undistorter | None:
        """The mapping between a sequence's frames and those of its lens, if prepared with --undistort."""
        card = next(card for card in read_cards(self.folder)[self.split] if card["sequence"] == sequence)
        return Undistorter.from_json(card["undistortion"]) if card.get("undistortion") else None

    def __getstate__(self) -> dict:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def find_prepared(path: str | Path) -> list[Path]:
    """Returns the folders of all finished data sets at or below `path`, sorted: at least one.

    Raises:
      UserError: there is none, or only a build that is not finished.
    """
    found = prepared_folders(path)
    if found:
        return found
    path = Path(path).expanduser()
    if any(begun for level in _LEVELS for begun in path.glob(f"{level}*.building")):
        raise UserError(f"{path}: its build is not finished; repeat the `endodav prepare` command to finish it")
    raise UserError(f"{path}: no prepared data set; make it with `endodav prepare`")


def find_split(path: str | Path, split: str) -> Path:
    """Returns the folder of the one prepared data set at or below `path` that has the split.

    Raises:
      UserError: none has it, or several have.
    """
    found = find_prepared(path)
    having = [folder for folder in found if split in read_cards(folder)]
    if len(having) > 1:
        raise UserError(f"{path}: several data sets have a split {split!r}; name one of {', '.join(map(str, having))}")
    if not having:
        known = sorted({name for folder in found for name in read_cards(folder)})
        can_be_added = any(split in splits_of_data_set(folder.parents[1].name) for folder in found)
        cure = f"add it: endodav prepare ... --split {split}" if can_be_added else f"name {' or '.join(known)}"
        raise UserError(f"{path}: no split {split!r} was prepared, only {', '.join(known)}; {cure}")
    return having[0]


def prepared_folders(path: str | Path) -> list[Path]:
    """Returns the folders of all finished data sets at or below `path`, sorted.

    Raises:
      UserError: `path` is not a folder.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; make it with `endodav prepare`")
    named = [file.parent for level in _LEVELS for file in path.glob(f"{level}{SEQUENCES_FILE}")]
    return sorted(
        # TFDS writes the second file last, and then removes the prefix.
        folder
        for folder in named
        if (folder / _INFO_FILE).exists() and not folder.name.startswith("incomplete.")
    )


def read_cards(folder: Path) -> dict[str, list[dict]]:
    """Returns split -> cards of its sequences (`builders.staging.SequenceCard` as dictionaries).

    Raises:
      UserError: the file that has them is damaged.
    """
    return _read_sequences_file(folder)["splits"]


def sequences_without_camera(folder: Path, split: str) -> list[str]:
    """Returns the sequences of a split whose intrinsics are a guess; data sets of older versions do not tell."""
    return [card["sequence"] for card in read_cards(folder)[split] if card.get("guessed_camera")]


def digest_of_split(split: PreparedSplit) -> str:
    """Returns the SHA-256 of the description of a split's sequences; it is the same for copies of a data set."""
    cards = read_cards(split.folder)[split.split]
    return sha256_of_text(json.dumps(cards, sort_keys=True))


def read_settings(folder: Path) -> dict:
    """Returns the settings a data set was built with (`builders.video.VideoBuilder.settings`).

    Raises:
      UserError: the file that has them is damaged.
    """
    return _read_sequences_file(folder)["settings"]


def _read_sequences_file(folder: Path) -> dict:
    file = folder / SEQUENCES_FILE
    with _damage_told(file):
        found = json.loads(file.read_text())
        cards = [card for of_split in found["splits"].values() for card in of_split]
        if not isinstance(found["settings"], dict) or not all(card.keys() >= _CARD_FIELDS for card in cards):
            raise ValueError("fields are missing")
    return found


@contextlib.contextmanager
def _damage_told(file: Path) -> Iterator[None]:
    """Raises `UserError` that names the file if what reads it fails, however: TFDS raises a dozen kinds of errors."""
    try:
        yield
    except Exception as error:
        raise UserError(f"{file}: is damaged; {_CURE}") from error
