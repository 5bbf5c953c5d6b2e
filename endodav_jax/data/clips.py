"""Selects the frames of each clip and its augmentation: everything that is random, without reading any data."""

import dataclasses
from collections.abc import Sequence

import grain
import numpy as np

from endodav_jax.data.config import DataConfig
from endodav_jax.data.contract import NO_JITTER
from endodav_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Block:
    """The possible starts of one clip: a random start in each block of T frames covers a sequence once per epoch.

    Attributes:
      first: number of the first record of the sequence (of all sequences joined, when windows may straddle them).
      length: records in it.
      start: first start of this block, from `first`.
      starts: number of starts.
    """

    first: int
    length: int
    start: int
    starts: int


@dataclasses.dataclass(frozen=True)
class DrawnClip:
    """One clip, drawn.

    Attributes:
      records: int64 [T+2], numbers of its records.
      jitter: float32 [4], factors of brightness, contrast, saturation and the shift of hue.
      jitter_order: int32 [4], a permutation.
      mirror: whether it is mirrored left to right.
    """

    records: np.ndarray
    jitter: np.ndarray
    jitter_order: np.ndarray
    mirror: bool


def blocks_of(
    sequences: Sequence[str], lengths: Sequence[int], config: DataConfig, firsts: Sequence[int] | None = None
) -> tuple[list[Block], tuple[str, ...]]:
    """Returns the blocks of an epoch, and a line for each sequence, or interval, for which there are too few frames.

    Args:
      sequences: names.
      lengths: frames of each.
      config: how clips are drawn.
      firsts: number of the first record of each; by default each begins where the one before it ends.

    A sequence of n frames has n - (T+1) starts for frames one apart, in blocks of T, of which the last may be smaller.
    With `straddle_sequences` the blocks are those of the published loader: all sequences form one list of N frames,
    which has (N - T - 1 - T * frame_max_interval) // T blocks, so its last frames are never used.

    Raises:
      UserError: no sequence is long enough, or a short one is to be refused.
    """
    length, window = config.clip_length, config.window
    if config.straddle_sequences:
        total = sum(lengths)
        count = (total - length - 1 - length * config.frame_max_interval) // length
        if count < 1:
            raise UserError(f"data.clip_length: {total} frames in all give no window of {window}; lower it")
        return [Block(0, total, index * length, length) for index in range(count)], ()
    blocks, notices = [], []
    if firsts is None:
        firsts = np.cumsum([0, *lengths[:-1]]).tolist()
    for name, frames, first in zip(sequences, lengths, firsts, strict=True):
        starts = frames - window + 1
        if starts < 1:
            line = f"{name}: {frames} frames, fewer than the {window} of a clip of {length} with its neighbours"
            if config.short_sequences == "error":
                raise UserError(f"{line}; lower data.clip_length, or skip it with data.short_sequences=skip")
            notices.append(f"{line}; skipped")
        for start in range(0, starts, length):
            blocks.append(Block(first, frames, start, min(length, starts - start)))
    if not blocks:
        raise UserError(f"data.clip_length: no sequence has the {window} frames of a clip; lower it")
    largest = max(block.length - 1 for block in blocks) // (window - 1)
    if largest < config.frame_max_interval:
        notices.append(
            f"frames {config.frame_max_interval} apart: no sequence is long enough for a clip of them; intervals up to "
            f"{largest} are drawn"
        )
    return blocks, tuple(notices)


@dataclasses.dataclass(frozen=True)
class DrawClip(grain.transforms.RandomMap):
    """Draws a clip from a block.

    The published loader draws an interval for each frame separately, which puts frames out of order; here one
    interval is used for the whole clip.  An interval too large for the sequence is reduced to the largest that fits.
    """

    config: DataConfig

    def random_map(self, element: Block, rng: np.random.Generator) -> DrawnClip:
        config = self.config
        steps = config.window - 1
        start = element.start + int(rng.integers(element.starts))
        interval = int(rng.integers(1, config.frame_max_interval + 1))
        interval = min(interval, (element.length - 1) // steps)
        start = min(start, element.length - 1 - steps * interval)
        # All numbers are drawn whether or not they are used, so that disabling one augmentation does not affect others.
        jittered = rng.random() < config.jitter_probability
        mirror = bool(rng.random() < config.mirror_probability)
        spread = np.array([config.brightness, config.contrast, config.saturation, config.hue])
        jitter = NO_JITTER + spread * rng.uniform(-1, 1, 4)
        order = rng.permutation(4)
        return DrawnClip(
            records=element.first + start + interval * np.arange(config.window),
            jitter=np.asarray(jitter if jittered else NO_JITTER, np.float32),
            jitter_order=order.astype(np.int32),
            mirror=mirror,
        )
