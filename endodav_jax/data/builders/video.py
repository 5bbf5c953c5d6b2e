"""The TFDS builder for every source: one shard per sequence, built in a stream and resumable after a kill.

The layout is that of `tfds.core.ShardBasedBuilder`, whose own writer keeps all examples of a shard in memory and
loses a build that is killed; here the shards are staged (`staging.py`).  The result is an ordinary TFDS data
set in ArrayRecord files, which `tfds.builder_from_directory(path).as_data_source(split)` reads without TensorFlow.
"""

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from endodav_jax.data.builders import staging
from endodav_jax.data.builders.features import record_features
from endodav_jax.data.sources.base import OnBadFrame, Source
from endodav_jax.errors import UserError
from endodav_jax.files import json_text, whole_file

SEQUENCES_FILE = "sequences.json"  # information without a place in TFDS: names of sequences, skipped frames


def tfds_split(split: str) -> str:
    """Returns a split's name in TFDS, where `all` means all splits together."""
    return "all_sequences" if split == "all" else split


@dataclasses.dataclass
class VideoConfig(tfds.core.BuilderConfig):
    """One form of a data set; `name` becomes the name of its folder.

    Attributes:
      splits: split -> its sequences, in order.
      stored: size and files of the frames.
      on_bad_frame: whether a bad frame stops the build, or is skipped and reported.
      settings: other settings that affect the outcome (options of the source); a staged build resumes only with these.
      frame_masks: whether records contain a mask of each frame.
    """

    splits: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    stored: staging.StoredAs = staging.StoredAs(None, "compact")
    on_bad_frame: OnBadFrame = "error"
    settings: dict = dataclasses.field(default_factory=dict)
    frame_masks: bool = False


class _LocalInfo(tfds.core.DatasetInfo):
    """A description that is not looked for among those that TFDS publishes, which leaves a temporary folder behind."""

    def initialize_from_bucket(self) -> None:
        """Does nothing."""


class VideoBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A data set of videos with depth and poses, from any `Source`.

    Args:
      source: the source of frames; can be omitted when reading a prepared data set.
      config: a `VideoConfig`.
      data_dir: root of TFDS data sets; this one lies in `data_dir/NAME/CONFIG/VERSION`.
      workers: processes that build sequences in parallel; 1 builds in this process.
      progress: called with a number of newly built (or found) frames.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Frames, depth in mm, poses, intrinsics and masks."}  # noqa: RUF012
    DESCRIPTION = ""

    def __init__(
        self,
        *,
        source: Source | None = None,
        workers: int = 1,
        progress: Callable[[int], None] = lambda frames: None,
        **kwargs,
    ):
        self._source = source
        self._workers = workers
        self._progress = progress
        super().__init__(file_format="array_record", **kwargs)

    @property
    def staging_folder(self) -> Path:
        """Path of an unfinished build."""
        place = Path(self.data_dir_root) / self.info.full_name
        return place.with_name(f"{place.name}.building")

    @property
    def settings(self) -> dict:
        """Everything that affects the outcome, as JSON-compatible values."""
        config = self.builder_config
        settings = {
            "splits": config.splits,
            "stored": dataclasses.asdict(config.stored),
            "on_bad_frame": config.on_bad_frame,
            "version": str(self.version),
            **({"frame_masks": True} if config.frame_masks else {}),
            **config.settings,
        }
        return json.loads(json.dumps(settings))

    def download_and_prepare(self, **kwargs) -> None:
        """Builds what is missing, and renames the data set when it is complete."""
        # TFDS always creates a folder for downloads; here it is removed with the staging folder.
        super().download_and_prepare(download_dir=self.staging_folder / "downloads", **kwargs)
        staging.discard(self.staging_folder)

    def _info(self) -> tfds.core.DatasetInfo:
        masks = isinstance(self.builder_config, VideoConfig) and self.builder_config.frame_masks
        return _LocalInfo(
            builder=self, description=self.DESCRIPTION, features=record_features(masks), disable_shuffling=True
        )

    def _log_download_bytes(self) -> None:
        """Prints nothing, where TFDS prints about downloads: there are none, and the caller shows progress."""

    _log_download_done = _log_download_bytes

    def _shard_iterators_per_split(self, dl_manager=None) -> dict[str, list[staging.SequenceExamples]]:
        config = self.builder_config
        if self._source is None or not isinstance(config, VideoConfig):
            raise UserError(f"{self.name}: building needs a source and a VideoConfig; use `endodav prepare`")
        return {
            split: [
                staging.SequenceExamples(self._source, sequence, config.stored, config.on_bad_frame, config.frame_masks)
                for sequence in sequences
            ]
            for split, sequences in config.splits.items()
        }

    def _download_and_prepare(self, dl_manager, download_config=None) -> None:
        """Fills `self.data_path`, which TFDS has created under a temporary name, from the staging folder."""
        shards = self._shard_iterators_per_split()
        with staging.staging_folder(self.staging_folder, self.settings) as folder:
            # Left by a kill between staging and renaming: links to staged shards, nothing that is not staged.
            for leftover in folder.parent.glob(f"incomplete.*_{self.version}"):
                if leftover != Path(self.data_path):
                    shutil.rmtree(leftover, ignore_errors=True)
            built = self._build(folder, [examples for of_split in shards.values() for examples in of_split])
            cards = {split: [built[examples.sequence] for examples in of_split] for split, of_split in shards.items()}
            self.info.set_splits(tfds.core.SplitDict([self._place(folder, split, cards[split]) for split in shards]))
            with whole_file(Path(self.data_path) / SEQUENCES_FILE) as part:
                lists = {split: [card.to_json() for card in of_split] for split, of_split in cards.items()}
                part.write_text(json_text({"settings": self.settings, "splits": lists}))

    def _build(self, folder: Path, shards: list[staging.SequenceExamples]) -> dict[str, staging.SequenceCard]:
        """Builds the sequences missing in `folder` and returns the cards of all, by name."""
        cards, missing = {}, {}
        for examples in shards:
            card = staging.finished(folder, examples.sequence)
            if card is None:
                missing[examples.sequence] = examples
            elif examples.sequence not in cards:
                cards[examples.sequence] = card
                self._progress(card.frames + len(card.skipped))
        if self._workers == 1:
            for sequence, examples in missing.items():
                shard = staging.shard_path(folder, sequence)
                cards[sequence] = staging.build_sequence(examples, shard, lambda: self._progress(1))
                self._progress(len(cards[sequence].skipped))
        elif missing:
            cards |= self._build_in_processes(folder, missing)
        return cards

    def _build_in_processes(
        self, folder: Path, missing: dict[str, staging.SequenceExamples]
    ) -> dict[str, staging.SequenceCard]:
        """Builds in `workers` processes; the first error stops those that have not started."""
        context = multiprocessing.get_context("spawn")
        counter = context.Value("q", 0)
        cards, shown = {}, 0
        with concurrent.futures.ProcessPoolExecutor(self._workers, context, _keep_counter, (counter,)) as pool:
            waiting = {
                pool.submit(_build_counting, examples, staging.shard_path(folder, sequence))
                for sequence, examples in missing.items()
            }
            try:
                while waiting:
                    done, waiting = concurrent.futures.wait(waiting, 0.5, concurrent.futures.FIRST_COMPLETED)
                    for card in (future.result() for future in done):
                        cards[card.sequence] = card
                        self._progress(len(card.skipped))
                    built = counter.value
                    self._progress(built - shown)
                    shown = built
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return cards

    def _place(self, folder: Path, split: str, cards: list[staging.SequenceCard]) -> tfds.core.SplitInfo:
        """Links a split's staged shards to the names TFDS reads them by."""
        template = self._get_filename_template(split_name=tfds_split(split))
        for index, card in enumerate(cards):
            target = template.sharded_filepath(shard_index=index, num_shards=len(cards))
            _link(staging.shard_path(folder, card.sequence), Path(target))
        return tfds.core.SplitInfo(
            name=tfds_split(split),
            shard_lengths=[card.frames for card in cards],
            num_bytes=sum(card.bytes for card in cards),
            filename_template=template,
        )


def _link(staged: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system has no links."""
    try:
        os.link(staged, target)
    except OSError:
        try:
            shutil.copyfile(staged, target)
        except OSError as error:
            raise UserError(f"{target}: cannot be written ({error.strerror}); free some space and repeat") from error


_counter: Any  # of a worker, kept there by `_keep_counter`


def _keep_counter(counter) -> None:
    """Makes the shared count of frames reachable in a worker, which cannot be given it with a task."""
    global _counter
    _counter = counter


def _build_counting(examples: staging.SequenceExamples, shard: Path) -> staging.SequenceCard:
    def count() -> None:
        with _counter.get_lock():
            _counter.value += 1

    return staging.build_sequence(examples, shard, count)
