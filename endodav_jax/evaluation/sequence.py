"""Evaluates one sequence: predictions on disk, ground truth streamed, one frame in memory at a time."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.evaluation.alignment import Alignment, fit_alignment, least_squares_of_pieces
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.depth_errors import DEPTH_ERRORS, depth_errors, mean_and_interval
from endodav_jax.evaluation.running_median import RunningMedian
from endodav_jax.evaluation.temporal_errors import projection_matrix, temporal_errors

TEMPORAL_ERRORS = ("tae", "tas")

_SPARSE = 0.05  # below this fraction of valid pixels in the view, ground truth is treated as a set of points


class _Placed(NamedTuple):
    """A frame with a pose, as used by `temporal_errors`."""

    depth: np.ndarray
    valid: np.ndarray
    projection: np.ndarray
    landing: np.ndarray


Truth = Callable[[], Iterator[EvaluationFrame]]  # every call streams the sequence from the start


@dataclasses.dataclass(frozen=True)
class SequenceScores:
    """The results on one sequence.

    Attributes:
      sequence: its name.
      frames: number of frames.
      depth: [M,7] errors of its M frames with a valid pixel, in the order of `DEPTH_ERRORS`.
      temporal: [P,2] TAE (percent) and TAS of its P pairs; empty where poses are missing.
      alignment: of the whole sequence; None if each frame has its own.
      no_depth: share of the valid pixels at which the predicted depth is 0 or less, which is evaluated as it is.
      contrary: whether the predicted depth falls where the true depth rises, as disparity does.
    """

    sequence: str
    frames: int
    depth: np.ndarray
    temporal: np.ndarray
    alignment: Alignment | None
    no_depth: float = 0.0
    contrary: bool = False

    def means(self) -> dict[str, float]:
        """Mean of each error over the frames of the sequence; NaN for TAE and TAS without poses."""
        return means_and_intervals([self])[0]


def means_and_intervals(scores: Sequence[SequenceScores]) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Means over all frames of all sequences, as published, and their 95% intervals."""
    means, intervals = {}, {}
    for names, part in ((DEPTH_ERRORS, "depth"), (TEMPORAL_ERRORS, "temporal")):
        values = np.concatenate([getattr(score, part).reshape(-1, len(names)) for score in scores])
        for name, column in zip(names, values.T, strict=True):
            missing = float("nan"), (float("nan"), float("nan"))
            means[name], intervals[name] = mean_and_interval(column) if len(column) else missing
    return means, intervals


def score_sequence(
    sequence: str, truth: Truth, predicted: Sequence[np.ndarray], config: EvaluateConfig
) -> SequenceScores:
    """Aligns the predicted depth of a sequence to its ground truth and evaluates every frame.

    Args:
      sequence: its name.
      truth: streams its frames.
      predicted: depth [H,W] of each frame by number, positive, such as a memory-mapped array.
      config: the rule and the depth range.

    Raises:
      ValueError: no frame has a valid pixel, counts or sizes differ, a prediction is not finite, or 0 or less where
        disparity is fitted, or the rule has no fit for the sequence or, if fitted per frame, for one of its frames.
    """
    alignment = None if config.per_frame else _fit(truth, predicted, config)
    errors, pairs = [], []
    before: _Placed | None = None
    count, pixels, without, together = 0, 0, 0, 0.0
    for depth, frame, valid in _pairs(truth, predicted, config):
        count += 1
        if not valid.any():
            before = None
            continue
        found, true = depth[valid], frame.truth_mm[valid]
        pixels, without = pixels + found.size, without + int((found <= 0).sum())
        together += float((true - true.mean(dtype=np.float64)) @ found)
        rule = alignment or _fit_frame(frame, found, true, config)
        aligned = config.depth_range.clip(rule(depth))
        errors.append(_finite_errors(frame, aligned, valid))
        now = None
        if frame.cam_from_world is not None:
            matrix = projection_matrix(frame.intrinsics, frame.cam_from_world)
            now = _Placed(aligned, valid, matrix, _landing(valid, frame.counted))
            if before is not None:
                pair = temporal_errors(*before[:3], *now[:3], before.landing, now.landing)
                if np.isfinite(pair).all():
                    pairs.append(pair)
        before = now
    if not errors:
        raise ValueError(f"{sequence}: no frame has a valid pixel of ground truth")
    temporal = np.array(pairs).reshape(-1, 2)
    return SequenceScores(sequence, count, np.array(errors), temporal, alignment, without / pixels, together < 0)


def as_evaluated(
    score: SequenceScores, frame: EvaluationFrame, predicted: np.ndarray, config: EvaluateConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a frame's depth as it was evaluated, and where that was.

    Args:
      score: of its sequence.
      frame: with ground truth.
      predicted: its depth [H,W], as it was given to `score_sequence`.
      config: the rule and the depth range.

    Returns:
      float32 [H,W], aligned and clipped depth in mm, 0 outside the view; bool [H,W], true at valid ground truth.  A
      frame without any, which has no alignment of its own, is not aligned.
    """
    valid = config.depth_range.valid(frame.truth_mm) & frame.counted
    predicted = np.asarray(predicted, np.float32)
    rule = score.alignment
    if rule is None:
        fits = valid.any()
        rule = fit_alignment(config.align, predicted[valid], frame.truth_mm[valid]) if fits else Alignment(1.0, 0.0)
    return np.where(frame.view_mask, config.depth_range.clip(rule(predicted)), 0), valid


def _fit_frame(frame: EvaluationFrame, predicted: np.ndarray, truth: np.ndarray, config: EvaluateConfig) -> Alignment:
    """Fits a single frame.  Failures are not skipped: means without the worst frames would be too good."""
    try:
        return fit_alignment(config.align, predicted, truth)
    except ValueError as error:
        raise ValueError(f"frame {frame.frame_index} {error}") from error


def _finite_errors(frame: EvaluationFrame, aligned: np.ndarray, valid: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        errors = depth_errors(aligned, frame.truth_mm, valid)
    assert errors is not None  # a pixel is valid
    if not np.isfinite(errors).all():
        raise ValueError(
            f"frame {frame.frame_index} has errors that are not finite, as for a predicted depth of 0; use --near "
            "above 0"
        )
    return errors


def _landing(valid: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Returns where moved points are compared: at valid pixels as published, in the whole view if truth is sparse.

    A point from structure from motion hardly ever lands on exactly the pixel of another; it is compared with the
    predicted depth, which is known everywhere.
    """
    return counted if valid.sum() < _SPARSE * counted.sum() else valid


def _fit(truth: Truth, predicted: Sequence[np.ndarray], config: EvaluateConfig) -> Alignment:
    """Fits the rule on all valid pixels of the sequence, streaming them as often as needed."""

    def valid_pixels() -> Iterable[tuple[np.ndarray, np.ndarray]]:
        for depth, frame, valid in _pairs(truth, predicted, config):
            if valid.any():
                yield depth[valid], frame.truth_mm[valid]

    if config.align in ("least_squares", "disparity"):
        return least_squares_of_pieces(valid_pixels(), inverse=config.align == "disparity")
    medians = RunningMedian(), RunningMedian()
    for step in ("count", "refine"):
        for values in valid_pixels():
            for median, numbers in zip(medians, values, strict=True):
                getattr(median, step)(numbers)
    if not len(medians[0]):
        raise ValueError("no frame has a valid pixel of ground truth")
    found, level = (median.value() for median in medians)
    if config.align == "median":
        return Alignment.of_medians(found, level)
    sums = np.zeros(2)
    for depth, true in valid_pixels():
        sums += np.abs(depth.astype(np.float64) - found).sum(), np.abs(true.astype(np.float64) - level).sum()
    spread, wanted = sums / len(medians[0])
    return Alignment.of_levels(found, spread, level, wanted)


def _pairs(
    truth: Truth, predicted: Sequence[np.ndarray], config: EvaluateConfig
) -> Iterator[tuple[np.ndarray, EvaluationFrame, np.ndarray]]:
    """Yields (predicted depth, frame, mask of pixels to evaluate) for each frame."""
    number = -1
    for number, frame in enumerate(truth()):
        if number >= len(predicted):
            raise ValueError(f"{len(predicted)} predictions, but more frames of ground truth; predict every frame")
        depth = np.asarray(predicted[number], np.float32)
        if frame.depth_mm is None:
            raise ValueError(f"frame {frame.frame_index} has no ground truth depth")
        if depth.shape != frame.depth_mm.shape:
            raise ValueError(
                f"prediction of frame {frame.frame_index} is {depth.shape}, its ground truth {frame.depth_mm.shape}"
            )
        valid = config.depth_range.valid(frame.depth_mm) & frame.counted
        if not np.isfinite(depth[valid]).all():
            raise ValueError(f"prediction of frame {frame.frame_index} is not finite where the ground truth is valid")
        if config.align == "disparity" and (depth[valid] <= 0).any():
            raise ValueError(
                f"prediction of frame {frame.frame_index} is 0 or less where the ground truth is valid, which has no "
                "disparity; predict a depth above 0, or use another rule than disparity"
            )
        yield depth, frame, valid
    if number + 1 < len(predicted):
        raise ValueError(
            f"{len(predicted)} predictions, {number + 1} frames of ground truth; predict only these frames"
        )
