"""The training signal of stored data: selects the frames to examine and what is known about them."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from endodav_jax.data.builders.features import decode_record
from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.data.prepared import PreparedSplit
from endodav_jax.data.signal import INTERVALS, Pair, Signal, measure
from endodav_jax.data.sources.base import SourceFrame

ANCHORS = 6  # frames per sequence with which later ones are compared
SEQUENCES = 4  # per split, evenly spread

Frame = SourceFrame | EvaluationFrame


def anchors_of(length: int, anchors: int = ANCHORS) -> list[int]:
    """Numbers of frames of a sequence, evenly spread, that have as many of `INTERVALS` after them as fit."""
    fitting = [k for k in INTERVALS if k <= max(1, (length - 1) // 2)]
    last = length - 1 - fitting[-1] if fitting else -1
    return sorted(set(np.linspace(0, last, anchors).round().astype(int).tolist())) if last >= 0 else []


def frames_needed(length: int, anchors: int = ANCHORS) -> frozenset[int]:
    """Numbers of the frames on which a sequence's signal is measured."""
    numbers = itertools.product(anchors_of(length, anchors), (0, *INTERVALS))
    return frozenset(start + k for start, k in numbers if start + k < length)


def signal_of_frames(
    sequences: Sequence[Mapping[int, Frame]], lengths: Sequence[int], anchors: int = ANCHORS
) -> Signal:
    """The signal of sequences of which the frames with numbers of `frames_needed` are given, as far as there are any.

    Args:
      sequences: of each, number of a frame -> the frame.
      lengths: frames of each sequence.
      anchors: as they were asked of `frames_needed`.
    """

    def pairs(interval: int) -> list[Pair]:
        return [
            pair_of(frames[start], frames[start + interval])
            for frames, length in zip(sequences, lengths, strict=True)
            for start in anchors_of(length, anchors)
            if start in frames and start + interval in frames
        ]

    return measure(pairs)


def signal_of_split(split: PreparedSplit, sequences: Iterable[int] | None = None) -> Signal:
    """The signal of a prepared split: of the sequences with the given numbers, or of a few."""
    count = len(split.sequences)
    spread = np.linspace(0, count - 1, min(SEQUENCES, count)).round().astype(int).tolist()
    chosen = list(spread if sequences is None else sequences)
    found: list[Mapping[int, Frame]] = []
    for index in chosen:
        numbers = sorted(frames_needed(split.lengths[index]))
        records = split.records([int(split.offsets[index]) + n for n in numbers])
        found.append({n: decode_record(record) for n, record in zip(numbers, records, strict=True)})
    return signal_of_frames(found, [split.lengths[index] for index in chosen])


def pair_of(first: Frame, second: Frame) -> Pair:
    """Two frames of a sequence as input for the measurement."""
    counted = np.ones(first.frame.shape[:2], bool)
    for mask in (first.view_mask, second.view_mask, first.frame_mask, second.frame_mask):
        if mask is not None:
            counted &= mask
    motion = None
    if first.cam_from_world is not None and second.cam_from_world is not None:
        motion = second.cam_from_world @ np.linalg.inv(first.cam_from_world)
    return Pair(first.frame, second.frame, counted, first.intrinsics, first.depth_mm, motion)
