"""Runs a video network window by window over a stream of frames, each frame encoded once."""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator

import jax
import numpy as np
from jaxtyping import Array, Bool, Float32, Int, UInt8

from endodav_jax.inference import programs
from endodav_jax.inference.frame_input import FrameInput
from endodav_jax.inference.network import Network
from endodav_jax.inference.windows import OVERLAP, STEP, WINDOW_FRAMES, AlignRule, Window, carried_slots


@dataclasses.dataclass(frozen=True)
class Batching:
    """How many frames each program processes at once; does not affect the result.

    Attributes:
      encoded: frames per call of the encoder.
      decoded: frames per call of the decoder's per-frame part.
      windows: windows per call of the decoder's temporal part.
    """

    encoded: int
    decoded: int
    windows: int = 1

    @classmethod
    def for_backend(cls) -> "Batching":
        """Few frames on a CPU, to stay in its cache; a whole window on an accelerator."""
        if jax.default_backend() == "cpu":
            return cls(encoded=2, decoded=2)
        return cls(encoded=STEP, decoded=WINDOW_FRAMES)


class WindowDisparity:
    """Disparities of a window's used slots at the size of the frames, computed and copied in the background."""

    def __init__(self, groups: list[tuple[range, Float32[Array, "N H W"]]]):
        """Takes slots and their disparities on the device, in groups: a copy each, since copies are what costs."""
        self._place = {slot: (group, slot - slots.start) for slots, group in groups for slot in slots}
        for _, group in groups:
            group.copy_to_host_async()

    def __getitem__(self, slot: int) -> Float32[np.ndarray, "H W"]:
        group, place = self._place[slot]
        return np.asarray(group)[place]


def chunks(frames: Iterable, size: int) -> Iterator[list]:
    """Lists of `size` frames; the last may be shorter."""
    frames = iter(frames)
    return iter(lambda: list(itertools.islice(frames, size)), [])


def filled(chunk: list[np.ndarray], size: int) -> UInt8[np.ndarray, "size H W 3"]:
    """The frames of a chunk, with the last repeated up to `size`."""
    return np.stack(chunk + chunk[-1:] * (size - len(chunk)))


@functools.cache
def window_rows(rule: AlignRule, windows: int) -> Int[np.ndarray, "windows 32"]:
    """The row of each slot of consecutive windows, if ten carried rows are followed by a row for each new frame."""
    rows = np.arange(WINDOW_FRAMES, dtype=np.int32)[None] + STEP * np.arange(windows, dtype=np.int32)[:, None]
    for i in range(1, windows):
        rows[i, :OVERLAP] = rows[i - 1, list(carried_slots(rule))]
    return rows


def _with_padding(rows: int, encoded: int) -> int:
    """How many rows the chunks that fill a bank of `rows` write: from its start, and from behind the carried rows."""
    return max(first + -(-(rows - first) // encoded) * encoded for first in (0, OVERLAP))


def run_windows(
    network: Network,
    frames: Iterator[UInt8[np.ndarray, "H W 3"]],
    rule: AlignRule,
    batching: Batching,
    view_mask: Bool[np.ndarray, "H W"] | None,
) -> Iterator[tuple[Window, WindowDisparity]]:
    """Yields each window that finishes a frame, with its disparities still being computed.

    The features of `batching.windows` windows are in a bank: ten rows carried over from the previous batch, then one
    for each new frame; past the end of the video, the row of the last frame is repeated.

    Nothing here waits for the device, and a batch is yielded once the frames of the next one have been submitted: the
    device is busy while the host handles results, and only the disparities of one batch are in memory.

    Args:
      network: encodes and decodes.
      frames: all of one size; if there are none, nothing is yielded.
      rule: how windows overlap.
      batching: how much is processed at once.
      view_mask: the visible pixels, or None.
    """
    slots = window_rows(rule, batching.windows)
    rows = int(slots.max()) + 1
    every_row = np.arange(_with_padding(rows, batching.encoded), dtype=np.int32)
    network_input = FrameInput(network.config, view_mask)
    carried = slots[-1, list(carried_slots(rule))]
    bank = network.empty_bank(len(every_row))
    read = 0
    decoded: list[tuple[Window, WindowDisparity]] = []
    for batch in itertools.count():
        row = OVERLAP if batch else 0
        if batch:
            bank = network.carry(bank, carried)
        for chunk in chunks(itertools.islice(frames, rows - row), batching.encoded):
            frame_shape = chunk[0].shape[:2]
            bank = network.encode_into(bank, network_input(filled(chunk, batching.encoded)), row)
            row, read = row + len(chunk), read + len(chunk)
        if not read:
            return
        ended = row < rows
        if ended:
            bank = network.select(bank, np.minimum(every_row, np.int32(row - 1)))
        while decoded:  # releases them before the next batch
            yield decoded.pop(0)
        first = batch * batching.windows
        windows = [Window(first + i, rule, read if ended else None) for i in range(batching.windows)]
        decoded = _decode(network, bank, slots, windows, batching.decoded, frame_shape)
        if not all(window.has_next for window in windows):
            yield from decoded
            return


def _decode(network, bank, slots, windows, count, frame_shape) -> list[tuple[Window, WindowDisparity]]:
    """Decodes the windows of a full bank, only the slots that are used, `count` at a time."""
    if not any(window.used_slots for window in windows):
        return []
    rows = slots.ravel()
    features = bank if np.array_equal(rows, np.arange(len(bank[0]))) else network.select(bank, rows)
    path_3 = network.coarse(features)
    decoded = []
    for i, window in enumerate(windows):
        used, groups = window.used_slots, []
        for begin in range(used.start, used.stop, count):
            at = min(begin, WINDOW_FRAMES - count)
            group = network.fine(path_3, features, i * WINDOW_FRAMES + at, count)
            slots = range(begin, min(begin + count, used.stop))
            sized = programs.to_frames(group, np.int32(begin - at), count=len(slots), frame_shape=frame_shape)
            groups.append((slots, sized))
        if groups:
            decoded.append((window, WindowDisparity(groups)))
    return decoded
