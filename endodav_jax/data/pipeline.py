"""From a prepared data set to training batches, with Grain.

Random numbers are assigned to elements by their index in the endless sequence of clips, so order and augmentation
do not depend on the number of threads, workers and processes, and a position is a single integer.
"""

import dataclasses
from collections.abc import Iterator

import grain
import numpy as np

from endodav_jax.data.builders import encoding
from endodav_jax.data.camera_paths import CameraPaths
from endodav_jax.data.clips import Block, DrawClip, DrawnClip, blocks_of
from endodav_jax.data.config import DataConfig
from endodav_jax.data.contract import check_batch
from endodav_jax.data.prepared import PreparedSplit
from endodav_jax.data.registration import neighbour_flow
from endodav_jax.data.signal import Signal
from endodav_jax.data.signal_of import signal_of_split
from endodav_jax.data.sources.cameras import ENDOVIS_CONSTANT, normalised_intrinsics
from endodav_jax.data.workers import endless, in_processes
from endodav_jax.errors import UserError
from endodav_jax.geometry.poses import inverse_rigid


@dataclasses.dataclass(frozen=True)
class LoadClip(grain.transforms.Map):
    """Reads and decodes a drawn clip: an element of `contract.BATCH` without the axis B."""

    split: PreparedSplit
    config: DataConfig
    paths: CameraPaths | None = None

    def map(self, element: DrawnClip) -> dict[str, np.ndarray]:
        split, config = self.split, self.config
        records = split.records(element.records)
        frames = _decode_frames(records, split)
        height, width = frames.shape[1:3]
        masks = {record["view_mask"] for record in records}  # one file for most sequences: decode it once
        example = {
            "frames": frames,
            "jitter": element.jitter,
            "jitter_order": element.jitter_order,
            "intrinsics": np.asarray(records[config.clip_length // 2 + 1]["intrinsics"], np.float32),
            "view_mask": np.logical_and.reduce([encoding.decode_mask(mask) for mask in masks]),
            "frame_index": np.array([record["frame_index"] for record in records], np.int32),
            "sequence": np.searchsorted(split.offsets, element.records[0], side="right").astype(np.int32) - np.int32(1),
        }
        if "frame_mask" in records[0]:
            example["frame_mask"] = np.stack([encoding.decode_mask(record["frame_mask"]) for record in records])
        if config.ground_truth:
            unknown = np.zeros((height, width), np.float32)
            depths = [encoding.decode_depth(r["depth_mm"]) if r["depth_mm"] else unknown for r in records]
            example["depth_mm"] = np.stack(depths)
            example["cam_from_world"] = np.stack([r["cam_from_world"] for r in records]).astype(np.float32)
        if self.paths is not None:
            poses = self.paths.cam_from_world[element.records]
            # Seen from the clip's first camera, so that float32 loses nothing far along the path.
            example["path_pose"] = (poses @ inverse_rigid(poses[0])).astype(np.float32)
            example["path_log_depth"] = self.paths.log_depth[element.records].astype(np.float32)
            example["path_points"] = self.paths.points[element.records]
        if element.mirror:
            example = mirror(example)
        if config.neighbour_flow:
            counted = example["view_mask"]
            if "frame_mask" in example:
                counted = counted & example["frame_mask"]
            example["neighbour_flow"] = neighbour_flow(example["frames"], counted)
        if config.intrinsics == "constant":
            # A mean over data sets, which the published loader does not mirror with the clip either.
            example["intrinsics"] = normalised_intrinsics(ENDOVIS_CONSTANT, width, height).astype(np.float32)
        return example


def mirror(example: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mirrors a clip left to right, as if the world were mirrored in x: column x becomes W - 1 - x.

    The principal point becomes W - 1 - cx, and with M = diag(-1, 1, 1, 1), a pose becomes M @ pose @ M.
    """
    mirrored = dict(example)
    for key in ("frames", "depth_mm", "view_mask", "frame_mask"):
        if key in example:
            mirrored[key] = np.ascontiguousarray(np.flip(example[key], axis=-2 if key == "frames" else -1))
    fx, fy, cx, cy = example["intrinsics"]
    mirrored["intrinsics"] = np.array([fx, fy, example["frames"].shape[2] - 1 - cx, cy], np.float32)
    if "path_points" in example:
        x, *others = np.moveaxis(example["path_points"], -1, 0)
        mirrored["path_points"] = np.stack([example["frames"].shape[2] - 1 - x, *others], -1)
    flip = np.array([-1, 1, 1, 1], np.float32)
    for key in ("cam_from_world", "path_pose"):
        if key in example:
            mirrored[key] = flip[:, None] * example[key] * flip
    return mirrored


class ClipBatches(Iterator[dict[str, np.ndarray]]):
    """An endless iterator of batches as described by `contract.BATCH`, for this process's share of each global batch.

    Args:
      config: what to read and how to draw.
      seed: for the order and every augmentation.
      process: index of this process, which takes clips process, process + processes, ... of each global batch.
      processes: number of processes.
      signal: that of the split, if it is known already; measured for `frame_interval="auto"` otherwise.

    Attributes:
      config: with the interval in use.
      split: the split to read.
      notices: one line for each sequence skipped because it is too short, and for an interval that none is long
        enough for.
      clips_per_epoch, batches_per_epoch: over all processes; the latter is rounded down.

    Raises:
      UserError: the data set is missing or damaged, has frames of several sizes, or the settings do not fit it.
    """

    def __init__(
        self, config: DataConfig, seed: int, process: int = 0, processes: int = 1, signal: Signal | None = None
    ):
        if config.batch_size % processes:
            raise UserError(f"data.batch_size: {config.batch_size} does not divide among {processes} processes")
        self.split = PreparedSplit.open(config.path, config.split)
        check_one_size(self.split)
        if config.frame_interval == "auto":
            signal = signal_of_split(self.split) if signal is None else signal
            if not signal.moves:
                raise UserError(f"data.frame_interval: auto: {signal.line()}; set it to drawn")
            config = dataclasses.replace(config, frame_max_interval=signal.interval)
        self.config = config
        paths = CameraPaths.load(config.camera_paths, self.split) if config.camera_paths else None
        blocks, self.notices = self._blocks(paths)
        self.clips_per_epoch = len(blocks)
        self.batches_per_epoch = max(1, len(blocks) // config.batch_size)
        # Drawn before the clips are distributed, so that two processes never share random numbers.
        order = endless(grain.MapDataset.source(blocks).seed(seed).shuffle())
        drawn = order.random_map(DrawClip(config))
        own = drawn[process::processes].map(LoadClip(self.split, config, paths))
        self._batches = own.batch(config.batch_size // processes)
        # Everything that must agree for a saved position to refer to the same clips.
        self._identity = {
            "seed": seed,
            "clips_per_epoch": len(blocks),
            "batch_size": config.batch_size,
            "clip_length": config.clip_length,
            "frames": list(self.split.lengths),
            **({"camera_paths": paths.digest} if paths is not None else {}),
        }
        self._next = 0
        self._iterator: Iterator[dict[str, np.ndarray]] | None = None

    def __next__(self) -> dict[str, np.ndarray]:
        if self._iterator is None:
            self._iterator = self._start()
        batch = next(self._iterator)
        check_batch(batch)
        self._next += 1
        return batch

    def get_state(self) -> dict:
        """Returns the position as JSON-compatible values; it does not depend on threads, workers or processes."""
        return {"next_batch": self._next, **self._identity}

    def differs_from(self, state: dict) -> str:
        """Describes how the data or settings differ from those of a saved position; empty if they agree."""
        for field, value in self._identity.items():
            if state.get(field) != value:
                return f"data.{field}: {value} here, {state.get(field)} in the saved run"
        return ""

    def set_state(self, state: dict) -> None:
        """Moves to a saved position: the next batch is the one that would have followed it.

        Raises:
          UserError: it was saved for other data or settings.
        """
        difference = self.differs_from(state)
        if difference:
            raise UserError(f"{difference}; resume with the same data")
        self.close()
        self._next = state["next_batch"]

    def close(self) -> None:
        """Stops threads and workers; the iterator can continue afterwards from its position."""
        if self._iterator is not None and hasattr(self._iterator, "close"):
            self._iterator.close()
        self._iterator = None

    def __enter__(self) -> "ClipBatches":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _blocks(self, paths: CameraPaths | None) -> tuple[list[Block], tuple[str, ...]]:
        """Those of whole sequences, or of the stretches of them that a path leads through."""
        split = self.split
        if paths is None:
            return blocks_of(split.sequences, split.lengths, self.config)
        stretches = paths.stretches()
        if not stretches:
            raise UserError(
                f"{self.config.camera_paths}: the camera was lost in every frame, or its path is not reliable; train "
                'on larger or longer videos, or with train.objective.camera="flow"'
            )
        firsts, lengths = zip(*stretches, strict=True)
        within = np.searchsorted(split.offsets, firsts, side="right") - 1
        names = [
            f"{split.sequences[which]}, from frame {first - split.offsets[which]} on, where the camera is known"
            for which, first in zip(within, firsts, strict=True)
        ]
        return blocks_of(names, lengths, self.config, firsts)

    def _start(self) -> Iterator[dict[str, np.ndarray]]:
        config = self.config
        rest = self._batches[self._next :]
        options = grain.ReadOptions(num_threads=config.threads, prefetch_buffer_size=config.prefetch)
        return iter(in_processes(rest.to_iter_dataset(options), config.workers))


def check_one_size(split: PreparedSplit) -> None:
    """Raises `UserError` if the first frames of the sequences differ in size; a clip's are compared as it is read."""
    firsts = split.records([int(offset) for offset in split.offsets[:-1]])
    sizes = [encoding.decode_frame(record["frame"]).shape for record in firsts]
    for sequence, size in zip(split.sequences, sizes, strict=True):
        if size != sizes[0]:
            raise _other_size(split, sequence)


def _decode_frames(records: list[dict], split: PreparedSplit) -> np.ndarray:
    """Decodes the frames of a clip into one array uint8 [T+2, H, W, 3]."""
    first = encoding.decode_frame(records[0]["frame"])
    frames = np.empty((len(records), *first.shape), np.uint8)
    frames[0] = first
    for frame, record in zip(frames[1:], records[1:], strict=True):
        if encoding.decode_frame(record["frame"], frame) is not frame:
            raise _other_size(split, record["sequence"].decode())
    return frames


def _other_size(split: PreparedSplit, sequence: str) -> UserError:
    return UserError(f"{split.folder}: {sequence} has another frame size than others; prepare the data set with --size")
