"""Builds prepared data sets from a download, in the form required for each split."""

import dataclasses
import fnmatch
import shutil
from collections.abc import Sequence
from pathlib import Path

from endodav_jax.data.builders import staging
from endodav_jax.data.builders.data_sets import builder_class
from endodav_jax.data.builders.encoding import Storage
from endodav_jax.data.builders.video import VideoConfig
from endodav_jax.data.kinds import nothing_found
from endodav_jax.data.prepared import read_cards, read_settings
from endodav_jax.data.sources.base import OnBadFrame, SequenceInfo, Source
from endodav_jax.errors import UserError
from endodav_jax.files import make_folder, size_text
from endodav_jax.geometry.pixels import PUBLISHED_SHAPE
from endodav_jax.progress import progress_bar

# Bytes a pixel of colour and of depth takes; compact files are smaller, but by how much depends on the pictures.
_BYTES = {"fast": (3.0, 4.0), "compact": (1.2, 1.5)}


@dataclasses.dataclass(frozen=True)
class Form:
    """One data set to be built from a source.

    Attributes:
      splits: its splits.
      image_shape: (height, width) of its frames; None for the source's own.
      storage: `fast` files for training, `compact` ones for evaluation.
    """

    splits: tuple[str, ...]
    image_shape: tuple[int, int] | None
    storage: Storage

    @property
    def name(self) -> str:
        """Name of its folder: `train-256x320`, `validation_test-full`."""
        size = "full" if self.image_shape is None else f"{self.image_shape[0]}x{self.image_shape[1]}"
        return f"{'_'.join(self.splits)}-{size}"


def forms_of(
    source: Source,
    splits: Sequence[str] = (),
    image_shape: tuple[int, int] | None = None,
    full_size: bool = False,
    storage: Storage | None = None,
) -> list[Form]:
    """Returns the forms to build: training splits at 256x320, evaluation splits at full size.

    Args:
      source: the source.
      splits: the splits to build; by default those of `train`, `validation` and `test` that exist, or else
        everything `found` in the copy.
      image_shape: (height, width) for all.
      full_size: use the source's own size for all.  The phantom always has the size at which it is rendered.
      storage: storage for all.

    Raises:
      UserError: there is no such split.
    """
    chosen = tuple(splits) or tuple(s for s in ("train", "validation", "test") if s in source.splits)
    chosen = chosen or (("found",) if "found" in source.splits else source.splits[:1])
    for split in chosen:
        if split not in source.splits:
            raise UserError(f"{source.name}: no split {split!r}; choose from {', '.join(source.splits)}")
    training = tuple(split for split in chosen if split.startswith("train"))
    evaluation = tuple(split for split in chosen if not split.startswith("train"))
    own_size = full_size or source.name == "phantom"
    forms = []
    if training:
        forms.append(Form(training, image_shape or (None if own_size else PUBLISHED_SHAPE), storage or "fast"))
    if evaluation:
        forms.append(Form(evaluation, image_shape, storage or "compact"))
    return forms


def find_sequences(
    source: Source, splits: Sequence[str], patterns: Sequence[str] = (), skip_missing: bool = False
) -> tuple[dict[str, list[str]], dict[str, SequenceInfo], list[str]]:
    """Determines which sequences of which splits exist in the copy.

    Args:
      source: the copy.
      splits: the splits.
      patterns: shell patterns of sequences; all if empty.
      skip_missing: whether to skip missing sequences.

    Returns:
      split -> names, name -> description, and one line for each sequence that is missing.

    Raises:
      UserError: sequences are missing, or none remain.
    """
    found: dict[str, list[str]] = {}
    infos: dict[str, SequenceInfo] = {}
    missing: list[str] = []
    for split in splits:
        found[split] = []
        for sequence in source.sequences(split):
            if patterns and not any(fnmatch.fnmatch(sequence, pattern) for pattern in patterns):
                continue
            try:
                infos[sequence] = infos.get(sequence) or source.describe(sequence)
                found[split].append(sequence)
            except UserError as error:
                missing.append(str(error))
        if not found[split] and not missing:
            if not source.sequences(split):
                raise nothing_found(source)
            raise UserError(f"{source.name}: no sequence of split {split!r} matches --only {', '.join(patterns)}")
    if missing and not skip_missing:
        more = f" (and {len(missing) - 1} more sequences are missing)" if len(missing) > 1 else ""
        cure = "; build the others with --on-missing skip" if infos else ""
        raise UserError(f"{missing[0]}{more}{cure}")
    empty = [split for split, sequences in found.items() if not sequences]
    if empty:
        raise UserError(f"{source.name}: no sequence of split {empty[0]!r} was found; choose others with --split")
    return found, infos, missing


def build(
    kind: str,
    source: Source,
    form: Form,
    sequences: dict[str, list[str]],
    infos: dict[str, SequenceInfo],
    out: str | Path,
    *,
    settings: dict,
    on_bad_frame: OnBadFrame = "error",
    workers: int = 1,
    overwrite: bool = False,
    quiet: bool = False,
    cure: str = "pass --overwrite to rebuild it",
) -> Path:
    """Builds one form and returns its folder; resumes a build that was killed, and leaves a finished one unchanged.

    Args:
      kind: kind of the source, a key of `KINDS`.
      source: the source of frames.
      form: what to build.
      sequences: split -> names.
      infos: name -> description, for the number of frames.
      out: root folder of data sets.
      settings: the source's options.
      on_bad_frame: whether a bad frame stops the build.
      workers: number of processes.
      overwrite: replace an existing data set, or a build with other settings.
      quiet: show no progress bar.
      cure: what to do if it exists with other settings.

    Raises:
      UserError: it exists with other settings, the folder cannot be created, a frame is bad, or the disk is (or will
        be) full.
    """
    config = VideoConfig(
        name=form.name,
        splits=sequences,
        stored=staging.StoredAs(form.image_shape, form.storage),
        on_bad_frame=on_bad_frame,
        settings={"source": settings},
        frame_masks=any(infos[name].has_frame_masks for of_split in sequences.values() for name in of_split),
    )
    names = {name for of_split in sequences.values() for name in of_split}
    total = sum(infos[name].frames for name in names)
    out = Path(out).expanduser()
    make_folder(out)
    with progress_bar(total, form.name, quiet) as bar:
        builder = builder_class(kind)(source=source, config=config, data_dir=out, workers=workers, progress=bar.update)
        folder = Path(builder.data_dir)
        if overwrite:
            shutil.rmtree(folder, ignore_errors=True)
            staging.discard(builder.staging_folder)
        elif folder.exists():
            if read_settings(folder) == builder.settings:
                return folder
            raise UserError(f"{folder}: already exists with other settings; {cure}")
        _check_space(out, form, [infos[name] for name in names], builder.staging_folder)
        builder.download_and_prepare()
    return folder


def camera_notes(infos: dict[str, SequenceInfo]) -> list[str]:
    """Returns a line about the sequences whose camera is not known; none if there are no such sequences."""
    unknown = [name for name, info in infos.items() if not info.has_intrinsics]
    if not unknown:
        return []
    more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    return [
        f"{unknown[0]}{more}: no camera is known, so the intrinsics are a guess; add the camera "
        "(--intrinsics, for own recordings), or train with data.intrinsics=guessed, or with "
        "train.objective.camera=pose and train.objective.learn_intrinsics=True"
    ]


def summary(folder: Path) -> str:
    """Returns one line about a prepared data set."""
    cards = [card for of_split in read_cards(folder).values() for card in of_split]
    size = sum(path.stat().st_size for path in folder.glob("*.array_record*")) / 1e9
    skipped = sum(len(card["skipped"]) for card in cards)
    left_out = f", {skipped} bad frames skipped" if skipped else ""
    return f"{folder}: {len(cards)} sequences, {sum(card['frames'] for card in cards)} frames, {size:.2f} GB{left_out}"


def _check_space(out: Path, form: Form, infos: list[SequenceInfo], staged: Path) -> None:
    """Refuses a build that will probably not fit on the disk, before hours are spent on it."""
    colour, depth = _BYTES[form.storage]
    needed = 0.0
    for info in infos:
        height, width = form.image_shape or (info.height, info.width)
        needed += info.frames * height * width * (colour + depth * info.has_depth)
    needed -= sum(path.stat().st_size for path in staged.glob("*.array_record"))
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise UserError(f"{out}: needs about {size_text(needed)}, {size_text(free)} are free; choose another disk")
