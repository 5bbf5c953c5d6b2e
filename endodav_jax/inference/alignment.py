"""Aligns the windows of a long video: scale, shift and blending of affine-invariant disparity.

A network's disparity is known up to a scale and a shift, which differ from window to window.  Each window is
therefore fitted to the aligned result of the previous windows, blended with it over the eight frames they share and
clipped at zero.  `endodav` fits on those eight frames (the paper's depth-aligned inference); `vda` fits on the two
context frames, whose references are the video's first frame and the previous window's slot 12; `none` does not align
windows.  Source: the published programs' `infer_video_depth`, golden case `stitching`.

Frames are NumPy float32 on the host: they are written to a file next, while the device runs the next window.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32

from endodav_jax.inference.windows import (
    BLENDED_SLOTS,
    CONTEXT_SLOTS,
    OVERLAP,
    WINDOW_FRAMES,
    AlignRule,
    Window,
    carried_slots,
)

# Below this ratio of variance to squared mean, a disparity is constant up to float32 rounding: scale and shift cannot
# be distinguished, and the window is kept unchanged (as in the published program if its determinant is exactly zero).
MIN_RELATIVE_VARIANCE = 1e-12

_LAST_SLOTS = range(WINDOW_FRAMES - BLENDED_SLOTS, WINDOW_FRAMES)


# From the number of a frame that was read to the pixels used in fits, bool [H, W]; None for all of them.
MaskOf = Callable[[int], Bool[np.ndarray, "H W"] | None]
# Called with the number of a frame seen by two windows, and the aligned disparity from each.
OnOverlap = Callable[[int, Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]], object]


@runtime_checkable
class RawWindow(Protocol):
    """A window's disparities before alignment: an array [32, H, W], or an object that computes a slot on access."""

    def __getitem__(self, slot: int) -> Float32[np.ndarray, "H W"]: ...


@dataclasses.dataclass(frozen=True)
class WindowLog:
    """How one window was aligned: `aligned = max(scale * raw + shift, 0)`.

    Attributes:
      window: its index.
      first_frame: first frame finished by this window.
      last_frame: last frame finished by this window, inclusive.
      scale: 1 for the first window.
      shift: 0 for the first window, in the first window's units of disparity.
      degenerate: the disparity was constant (or not finite) on the pixels of the fit, so scale 1 and shift 0 were
        kept.
    """

    window: int
    first_frame: int
    last_frame: int
    scale: float
    shift: float
    degenerate: bool


def fit_scale_shift(
    prediction: Sequence[Float32[np.ndarray, "H W"]],
    target: Sequence[Float32[np.ndarray, "H W"]],
    view_mask: Bool[np.ndarray, "H W"] | None = None,
    frame_masks: Sequence[Bool[np.ndarray, "H W"] | None] | None = None,
) -> tuple[float, float] | None:
    """Least squares: the scale and shift that bring `prediction` closest to `target` over all (visible) pixels.

    The published program solves the normal equations in float32, where the determinant loses digits if the
    disparity varies little; centred moments in float64 agree to 1e-5 and remain accurate.  Frames are processed one at
    a time to keep the float64 copies small.

    Args:
      prediction, target: the same number of frames each.
      view_mask: pixels used in all of them.
      frame_masks: pixels used in each of them (None: all); None without such masks.

    Returns:
      (scale, shift), or None if the prediction is constant to `MIN_RELATIVE_VARIANCE`, something is not finite, or
      there are no pixels.
    """
    masks = [_both(view_mask, mask) for mask in frame_masks or [None] * len(prediction)]

    def pixels(frames: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        for frame, mask in zip(frames, masks, strict=True):
            yield (frame if mask is None else frame[mask]).ravel().astype(np.float64)

    count = sum(values.size for values in pixels(prediction))
    if not count:
        return None
    mean_prediction, mean_target = (
        float(sum(values.sum() for values in pixels(frames))) / count for frames in (prediction, target)
    )
    variance = covariance = 0.0
    for predicted, wanted in zip(pixels(prediction), pixels(target), strict=True):
        centred = predicted - mean_prediction
        variance += float(centred @ centred) / count
        covariance += float(centred @ (wanted - mean_target)) / count
    # `not >` also catches NaN.
    if not variance > MIN_RELATIVE_VARIANCE * mean_prediction**2 or not np.isfinite(covariance):
        return None
    scale = covariance / variance
    return scale, mean_target - scale * mean_prediction


def _both(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """The pixels inside both masks, of which None is the whole frame."""
    if first is None or second is None:
        return first if second is None else second
    return first & second


class WindowAligner:
    """Aligns windows in order, keeping only the overlap and the references.

    At most ten full-size frames are kept between two windows, regardless of the video's length, and eight more while
    a window is aligned.
    """

    def __init__(
        self,
        rule: AlignRule,
        view_mask: Bool[np.ndarray, "H W"] | None = None,
        mask_of: MaskOf | None = None,
        metric: bool = False,
        on_overlap: OnOverlap = lambda frame, earlier, later: None,
    ):
        """Starts before the first window.

        Args:
          rule: how windows are aligned.
          view_mask: only these pixels are used in the fits.
          mask_of: returns the mask of a frame by its number; only pixels inside are used in the fits.
          metric: the windows are depth at a common scale; they are blended and never fitted, as published.
          on_overlap: called with the disparities of a frame from two windows before they are blended.
        """
        self._metric = metric
        self._on_overlap = on_overlap
        self._rule = rule
        self._mask_of = mask_of
        self._view_mask = view_mask
        self._overlap: list[np.ndarray] = []  # eight aligned frames, to be blended with the next window
        self._references: list[np.ndarray] = []  # two aligned frames to which rule `vda` fits the context frames

    def push(self, window: Window, raw: RawWindow) -> tuple[WindowLog, Iterator[tuple[int, np.ndarray]]]:
        """Adds the next window.

        Args:
          window: its frames; windows come in order; one that finishes no frame (at most the last) is skipped.
          raw: its disparities [32, H, W]; only `window.used_slots` are read.

        Returns:
          How it was aligned, and an iterator of (frame, disparity float32 [H, W]) over the frames it finishes; the
          iterator must be exhausted before the next `push`.
        """
        final = window.final_slots
        span = (window.first_frame + final.start, window.first_frame + final.stop - 1)
        if self._rule == "none" or window.index == 0:
            return WindowLog(window.index, *span, 1.0, 0.0, False), self._unaligned(window, raw)
        shared = [raw[slot] for slot in range(CONTEXT_SLOTS, OVERLAP)]
        fit: tuple[float, float] | None
        if self._metric:
            fit = 1.0, 0.0
        elif self._rule == "endodav":
            masks = self._masks(window, range(CONTEXT_SLOTS, OVERLAP))
            fit = fit_scale_shift(shared, self._overlap, self._view_mask, masks)
        else:
            context = range(CONTEXT_SLOTS)
            masks = self._masks(window, context)
            fit = fit_scale_shift([raw[slot] for slot in context], self._references, self._view_mask, masks)
        scale, shift = fit or (1.0, 0.0)
        log = WindowLog(window.index, *span, scale, shift, fit is None)
        return log, self._aligned(window, raw, shared, np.float32(scale), np.float32(shift))

    def _masks(self, window: Window, slots: range) -> list[np.ndarray | None] | None:
        return None if self._mask_of is None else [self._mask_of(window.frames[slot]) for slot in slots]

    def _unaligned(self, window: Window, raw: RawWindow) -> Iterator[tuple[int, np.ndarray]]:
        for slot in window.final_slots:
            yield window.first_frame + slot, np.array(raw[slot])
        if self._rule != "none" and window.has_next:
            self._overlap = [np.array(raw[slot]) for slot in _LAST_SLOTS]
            self._references = [np.array(raw[slot]) for slot in carried_slots(self._rule)[:CONTEXT_SLOTS]]

    def _aligned(self, window, raw, shared, scale, shift) -> Iterator[tuple[int, np.ndarray]]:
        def align(disparity: np.ndarray) -> np.ndarray:
            return np.maximum(disparity * scale + shift, np.float32(0))

        for slot in window.final_slots:
            if slot < OVERLAP:
                # From the previous window alone to this one alone, linearly over the eight frames they share.
                i = slot - CONTEXT_SLOTS
                weight = np.float32(i / (BLENDED_SLOTS - 1))
                later = align(shared[i])
                self._on_overlap(window.first_frame + slot, self._overlap[i], later)
                frame = self._overlap[i] * (1 - weight) + later * weight
            else:
                frame = align(raw[slot])
            yield window.first_frame + slot, frame
        if window.has_next:
            self._overlap = [align(raw[slot]) for slot in _LAST_SLOTS]
            self._references[1:] = [align(raw[carried_slots(self._rule)[1]])]
