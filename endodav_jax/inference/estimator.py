"""Depth from a video of any length: `DepthEstimator`."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import ArrayLike

from endodav_jax.checkpoints.card import Card
from endodav_jax.choices import Precision
from endodav_jax.errors import UserError
from endodav_jax.inference import programs
from endodav_jax.inference.alignment import MaskOf, OnOverlap, WindowAligner, WindowLog
from endodav_jax.inference.frame_checks import checked_frame, checked_mask
from endodav_jax.inference.frame_input import FrameInput
from endodav_jax.inference.network import JaxNetwork, Network
from endodav_jax.inference.prefetch import prefetch
from endodav_jax.inference.streaming import DepthStream
from endodav_jax.inference.windowed import Batching, chunks, filled, run_windows
from endodav_jax.inference.windows import ALIGN_RULES, AlignRule
from endodav_jax.models import DepthModelConfig, merge_adapters

PREFETCHED_FRAMES = 8

Item = TypeVar("Item")


class DepthEstimator:
    """Disparity for a video of any length, in constant memory.

    Video networks process windows of 32 frames (`windows`), which are aligned (`alignment`); features of frames shared
    by two windows are computed once.  A network that processes each frame independently needs no alignment.
    """

    def __init__(
        self,
        config: DepthModelConfig,
        params: dict,
        precision: Precision | None = None,
        batching: Batching | None = None,
        card: Card | None = None,
    ):
        """Takes a network and its weights, with or without adapters.

        Args:
          config: configuration of the network.
          params: its weights, a pure nested dict.
          precision: replaces that of the configuration.
          batching: by default chosen for the device.
          card: description of the weights.
        """
        if precision is not None:
            config = dataclasses.replace(config, precision=precision)
        self._take(JaxNetwork(*merge_adapters(config, params)), batching, card)

    @classmethod
    def of(cls, network: Network, card: Card | None = None) -> "DepthEstimator":
        """Takes a network in whichever runtime, such as `runtimes.networks.network_for` returns."""
        estimator = cls.__new__(cls)
        estimator._take(network, None, card)
        return estimator

    def _take(self, network: Network, batching: Batching | None, card: Card | None) -> None:
        self.network = network
        self.config = network.config
        self.batching = batching or Batching.for_backend()
        self.card = card

    def infer(
        self,
        frames: UInt8[np.ndarray, "N H W 3"] | Iterable[UInt8[np.ndarray, "H W 3"]],
        align: AlignRule = "endodav",
        view_mask: ArrayLike | None = None,
    ) -> Float32[np.ndarray, "N H W"]:
        """Disparity of every frame of a video that fits in memory; see `iter_infer`.

        Raises:
          UserError: no frames, or see `iter_infer`.
        """
        disparities = [disparity for _, disparity in self.iter_infer(frames, align, view_mask)]
        if not disparities:
            raise UserError("frames: there are none; give at least one")
        return np.stack(disparities)

    def infer_depth(
        self,
        frames: UInt8[np.ndarray, "N H W 3"] | Iterable[UInt8[np.ndarray, "H W 3"]],
        align: AlignRule = "endodav",
        view_mask: ArrayLike | None = None,
    ) -> Float32[np.ndarray, "N H W"]:
        """Depth of every frame of a video that fits in memory: the result of `infer` in the configured depth range.

        It is relative, up to a scale and the disparity's shift, and 0 where `view_mask` hides a pixel.  For a metric
        network it equals the result of `infer`, in metres.

        Raises:
          UserError: no frames, or see `iter_infer`.
        """
        inside = checked_mask(view_mask)
        depth = self.config.depth(self.infer(frames, align, inside))
        return depth if inside is None else np.where(inside, depth, np.float32(0))

    def iter_infer(
        self,
        frames: Iterable[UInt8[np.ndarray, "H W 3"]],
        align: AlignRule = "endodav",
        view_mask: ArrayLike | None = None,
        on_window: Callable[[WindowLog], None] | None = None,
        mask_of: MaskOf | None = None,
        on_overlap: OnOverlap = lambda frame, earlier, later: None,
    ) -> Iterator[tuple[int, Float32[np.ndarray, "H W"]]]:
        """Yields the disparity of each frame as soon as it is final, at most two windows behind the reader.

        Args:
          frames: RGB, all of one size, read once and in order by a thread that runs a few frames ahead.
          align: how windows overlap and are aligned; ignored for networks that process frames independently.
          view_mask: [H, W], true (or any number but 0) where a pixel is visible.  Hidden pixels do not affect the
            network or the fits, and their disparity is 0.
          on_window: called with each window's scale and shift, before its frames are yielded.
          mask_of: returns the mask of a frame that was read (see `RecentMasks`): the network sees the whole frame, but
            only pixels inside the mask are used in the fits.
          on_overlap: called with a frame's number and its aligned disparities from the two windows that contain it.

        Yields:
          (frame number, disparity): inverse depth, non-negative, up to a scale and a shift common to the video
          (with `align="none"`, to the window); for a metric network, depth in metres, with windows blended but not
          fitted.

        Raises:
          UserError: frames that are not uint8 RGB or change their size, a mask of another size or of something
            else than numbers, or an unknown rule.  Errors raised by `frames` itself propagate when they are reached.
        """
        if align not in ALIGN_RULES:
            raise UserError(f"align: {align!r} is not one of {', '.join(ALIGN_RULES)}")
        inside = checked_mask(view_mask)
        checked = prefetch(_checked(frames, inside), PREFETCHED_FRAMES)
        if self.config.family_entry.windows:
            disparities = self._aligned(checked, align, inside, on_window, mask_of, on_overlap)
        else:
            disparities = self._frame_by_frame(checked, inside)
        try:
            for number, disparity in disparities:
                if inside is not None:
                    disparity[~inside] = 0
                yield number, disparity
        finally:
            checked.close()

    def stream(self, view_mask: ArrayLike | None = None) -> DepthStream:
        """Returns a new stream for a live source: `stream.push(frame)` returns its disparity without looking ahead."""
        return DepthStream(self.network, view_mask)

    def _aligned(self, frames, rule, view_mask, on_window, mask_of, on_overlap) -> Iterator[tuple[int, np.ndarray]]:
        aligner = WindowAligner(rule, view_mask, mask_of, self.config.metric, on_overlap)
        windows = run_windows(self.network, frames, rule, self.batching, view_mask)
        for window, disparity in windows:
            log, finished = aligner.push(window, disparity)
            if on_window is not None:
                on_window(log)
            yield from finished
            del disparity, finished  # frees a window of large frames before the next one is created

    def _frame_by_frame(self, frames, view_mask) -> Iterator[tuple[int, np.ndarray]]:
        network_input = FrameInput(self.config, view_mask)

        def dispatched():
            for chunk in chunks(frames, self.batching.encoded):
                group = self.network.single_frames(network_input(filled(chunk, self.batching.encoded)))
                yield programs.to_frames(group, np.int32(0), count=len(chunk), frame_shape=chunk[0].shape[:2])

        groups = _one_ahead(dispatched())
        yield from enumerate(np.array(disparity) for group in groups for disparity in np.asarray(group))


def _one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Requests each item before yielding the previous one, so the device is busy while the host handles results."""
    items = iter(items)
    for held in items:
        for item in items:
            yield held
            held = item
        yield held


def _checked(frames: Iterable[np.ndarray], view_mask: np.ndarray | None) -> Iterator[np.ndarray]:
    """Yields copies of the frames after checking that they are valid for `iter_infer`.

    Copies, because several are held at a time, and a source may write each frame into the same array.
    """
    if isinstance(frames, (str, bytes, os.PathLike)) or not np.iterable(frames):
        raise UserError(
            f"frames: {frames!r} is no sequence of frames; give uint8 [N, height, width, 3] or an iterable of "
            "RGB frames (for a file: `endodav infer`)"
        )
    shape = None
    for number, given in enumerate(frames):
        frame = checked_frame(given, number, shape, view_mask)
        shape = frame.shape
        yield frame.copy()
