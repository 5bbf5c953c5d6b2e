"""Builds a data set one sequence at a time in a folder beside its final path, so that a killed build can be resumed.

The staging folder `VERSION.building` contains a shard and a card for each finished sequence, the settings of the
build, and a lock.  A shard is renamed when complete, then its card is written, and the data set is moved to its final
path when every card exists.  Only one frame is in memory at a time, whatever the length of a sequence.
"""

import contextlib
import dataclasses
import fcntl
import json
import shutil
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module

from endodav_jax.data.builders.encoding import Storage
from endodav_jax.data.builders.features import encode_record, record_features
from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.data.resize import resize_frame
from endodav_jax.data.sources.base import FrameStream, OnBadFrame, Source, SourceFrame
from endodav_jax.errors import UserError
from endodav_jax.files import json_text, shortened, whole_file

# One record per group gives random access; image files gain nothing from a second compression.
_WRITER_OPTIONS = "group_size:1,uncompressed"


@dataclasses.dataclass(frozen=True)
class SequenceCard:
    """Information about a finished sequence.

    Attributes:
      sequence: its name.
      frames: records in its shard.
      bytes: size of its shard.
      skipped: one line for each frame that was skipped.
      undistortion: as of `SequenceInfo`.
      guessed_camera: whether its intrinsics are a constant or a guess, because its camera is not known.
    """

    sequence: str
    frames: int
    bytes: int
    skipped: tuple[str, ...]
    undistortion: dict | None = None
    guessed_camera: bool = False

    def to_json(self) -> dict:
        """Returns what is stored of it: the last two only where there is something to say."""
        values = dataclasses.asdict(self)
        return {name: v for name, v in values.items() if v or name not in ("undistortion", "guessed_camera")}


@dataclasses.dataclass(frozen=True)
class StoredAs:
    """How frames are stored: at which (height, width), None for the source's own, and in which files."""

    image_shape: tuple[int, int] | None
    storage: Storage


@contextlib.contextmanager
def staging_folder(folder: Path, settings: dict) -> Iterator[Path]:
    """Yields `folder`, locked, with the results of an earlier build with the same settings.

    Raises:
      UserError: another build is running, or one with other settings was started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{folder}: another build is writing here; wait for it to end") from error
        settings_file = folder / "settings.json"
        wanted = json.dumps(settings, indent=1, sort_keys=True)
        if settings_file.exists() and settings_file.read_text() != wanted:
            raise UserError(
                f"{folder}: a build with other settings was started; repeat its command to finish it, "
                "or delete the folder (or pass --overwrite) to start over"
            )
        with whole_file(settings_file) as part:
            part.write_text(wanted)
        yield folder


def shard_path(folder: Path, sequence: str) -> Path:
    """Returns the path of a staged shard; a sequence in several splits is built once."""
    return folder / f"{shortened(urllib.parse.quote(sequence, safe=''))}.array_record"


def finished(folder: Path, sequence: str) -> SequenceCard | None:
    """Returns the card of a staged sequence, or None if it has to be built."""
    shard = shard_path(folder, sequence)
    card = shard.with_suffix(".json")
    if not (card.exists() and shard.exists()):
        return None
    values = json.loads(card.read_text())
    if values["bytes"] != shard.stat().st_size:
        return None
    return SequenceCard(**values | {"skipped": tuple(values["skipped"])})


@dataclasses.dataclass(frozen=True)
class SequenceExamples:
    """The example generator (in TFDS terms) of a shard.  It can be pickled."""

    source: Source
    sequence: str
    stored: StoredAs
    on_bad_frame: OnBadFrame
    frame_masks: bool = False

    def __call__(self) -> "ExampleStream":
        return ExampleStream(
            self.source.read(self.sequence, on_bad_frame=self.on_bad_frame), self.stored, self.frame_masks
        )


class ExampleStream(Iterator[tuple[int, dict]]):
    """Pairs of an increasing key and an example as `record_features()` takes it, one frame in memory at a time."""

    def __init__(self, frames: FrameStream, stored: StoredAs, frame_masks: bool = False):
        self._frames = frames
        self._stored = stored
        self._frame_masks = frame_masks
        self._key = -1

    def __next__(self) -> tuple[int, dict]:
        frame = stored_frame(next(self._frames), self._stored.image_shape)
        self._key += 1
        return self._key, encode_record(frame, self._stored.storage, self._frame_masks)

    @property
    def skipped(self) -> tuple[str, ...]:
        """One line for each frame skipped so far."""
        return tuple(self._frames.skipped)

    def close(self) -> None:
        """Closes the source's files."""
        self._frames.close()


def build_sequence(examples: SequenceExamples, shard: Path, progress: Callable[[], None]) -> SequenceCard:
    """Writes a sequence's shard and then its card; `progress` is called once per frame.

    Raises:
      UserError: a bad frame, no usable frame at all, or a full disk.
    """
    features = record_features(examples.frame_masks)
    serializer = tfds.core.ExampleSerializer(features.get_serialized_info())
    frames = 0
    with whole_file(shard) as part:
        with contextlib.closing(examples()) as stream, _shard_writer(part, shard) as write:
            for _, example in stream:
                # Sorted keys: the same frames give the same file in every process.
                proto = serializer.get_tf_example(features.encode_example(example))
                write(proto.SerializeToString(deterministic=True))
                frames += 1
                progress()
        if not frames:
            raise UserError(f"{examples.sequence}: no usable frame; look at it with `endodav verify`")
        _check_whole(part, shard, frames)
        info = examples.source.describe(examples.sequence)
        card = SequenceCard(
            examples.sequence,
            frames,
            part.stat().st_size,
            stream.skipped,
            info.undistortion,
            guessed_camera=not info.has_intrinsics,
        )
    with whole_file(shard.with_suffix(".json")) as part:
        part.write_text(json_text(card.to_json(), indent=None))
    return card


def stored_frame(source_frame: SourceFrame, image_shape: tuple[int, int] | None) -> EvaluationFrame:
    """Returns a source's frame at the stored size; without a mask, the whole picture shows the scene."""
    shape = source_frame.frame.shape[:2]
    mask = source_frame.view_mask
    frame = EvaluationFrame(
        frame=source_frame.frame,
        depth_mm=source_frame.depth_mm,
        cam_from_world=source_frame.cam_from_world,
        intrinsics=np.asarray(source_frame.intrinsics, np.float64),
        view_mask=np.ones(shape, bool) if mask is None else mask,
        sequence=source_frame.sequence,
        frame_index=source_frame.frame_index,
        frame_mask=source_frame.frame_mask,
    )
    return frame if image_shape is None else resize_frame(frame, image_shape)


def discard(folder: Path) -> None:
    """Removes a staging folder."""
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _shard_writer(part: Path, shard: Path) -> Iterator[Callable[[bytes], None]]:
    """Yields a function that appends a record; ArrayRecord's own errors, such as a full disk, become one line."""
    writer = array_record_module.ArrayRecordWriter(str(part), _WRITER_OPTIONS)

    def write(record: bytes) -> None:
        try:
            writer.write(record)
        except (RuntimeError, ValueError, OSError) as error:
            raise _not_written(shard, error) from error

    try:
        yield write
    finally:
        try:
            writer.close()
        except (RuntimeError, ValueError, OSError) as error:
            raise _not_written(shard, error) from error


def _check_whole(part: Path, shard: Path, frames: int) -> None:
    """Reads the index of a closed shard, since a writer may lose records silently when the disk is full."""
    try:
        reader = array_record_module.ArrayRecordReader(str(part))
        written = reader.num_records()
        reader.close()
    except (RuntimeError, ValueError, OSError) as error:
        raise _not_written(shard, error) from error
    if written != frames:
        raise UserError(
            f"{shard}: {written} of {frames} records reached the disk; free some space and repeat the command"
        )


def _not_written(shard: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(f"{shard}: cannot be written ({reason}); free some space and repeat the command")
