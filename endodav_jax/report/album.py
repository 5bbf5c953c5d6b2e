"""Collects a few pictures of each evaluated sequence while its predictions are available."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.sequence import SequenceScores, as_evaluated
from endodav_jax.report.page import Block
from endodav_jax.report.pictures import depth_picture, error_picture, images, small, small_map
from endodav_jax.video.colour import MOST_ERROR

_LARGEST_STRIP = 320  # frames of a strip; longer sequences are thinned out
_RANGE = (2, 98)  # percentiles of the ground truth that bound the colours of depth


@dataclasses.dataclass(frozen=True)
class _Shown:
    """One frame, reduced: uint8 [h,w,3] and maps [h,w] in mm."""

    number: int
    frame: np.ndarray
    predicted: np.ndarray
    truth: np.ndarray
    valid: np.ndarray


class Album:
    """Collects pictures during `evaluate_network` and `evaluate_predictions`: pass it as `on_sequence`.

    Args:
      videos: the evaluated videos.
      config: the evaluation settings.
      frames: number of frames shown per sequence.
      sequences: maximum number of sequences shown, the first ones, to keep reports small.
    """

    def __init__(self, videos: EvaluationVideos, config: EvaluateConfig, frames: int = 3, sequences: int = 8):
        self._videos, self._config, self._frames, self._sequences = videos, config, frames, sequences
        self._pages: dict[str, tuple[Block, Block]] = {}

    def __call__(self, score: SequenceScores, depth: Sequence[np.ndarray]) -> None:
        """Collects the pictures of a sequence."""
        if len(self._pages) < self._sequences:
            self._pages[score.sequence] = self._page(score, depth)

    def blocks(self, sequence: str) -> tuple[Block, ...]:
        """Returns frames beside depth and error maps, and strips over time; empty for a sequence not shown."""
        return self._pages.get(sequence, ())

    def _page(self, score: SequenceScores, depth: Sequence[np.ndarray]) -> tuple[Block, Block]:
        chosen = set(np.linspace(0, score.frames - 1, self._frames + 2).round().astype(int)[1:-1].tolist())
        every = -(-score.frames // _LARGEST_STRIP)
        shown: list[_Shown] = []
        strips: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for number, frame in enumerate(self._videos.frames(score.sequence, score.frames)):
            wanted = number in chosen
            if not wanted and number % every:
                continue
            aligned, valid = as_evaluated(score, frame, depth[number], self._config)
            truth = np.where(valid, frame.truth_mm, 0)
            if number % every == 0:
                middle = frame.frame.shape[1] // 2
                strips.append((frame.frame[:, middle], aligned[:, middle], truth[:, middle]))
            if wanted:
                maps = (small_map(values) for values in (aligned, truth, valid))
                shown.append(_Shown(frame.frame_index, small(frame.frame), *maps))
        depths = np.concatenate([picture.truth[picture.valid] for picture in shown] or [np.zeros(0)])
        near, far = np.percentile(depths, _RANGE) if len(depths) else (1.0, 100.0)
        span = (float(near), float(max(far, near * 1.01)))
        return _frames(shown, *span), _strips(strips, *span)


def _frames(shown: Sequence[_Shown], near: float, far: float) -> Block:
    rows = [
        [
            picture.frame,
            depth_picture(picture.predicted, near, far),
            depth_picture(picture.truth, near, far),
            error_picture(picture.predicted, picture.truth, picture.valid, MOST_ERROR),
        ]
        for picture in shown
    ]
    columns = ("frame", f"depth, {near:.0f} to {far:.0f} mm", "ground truth", f"relative error, 0 to {MOST_ERROR}")
    return images(rows, columns, [f"frame {picture.number}" for picture in shown])


def _strips(columns: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], near: float, far: float) -> Block:
    """The middle columns of all frames side by side: time runs to the right, flicker appears as vertical stripes."""
    colour, predicted, truth = (np.stack(parts, axis=1) for parts in zip(*columns, strict=True))
    step = -(-len(predicted) // 120)
    rows = [[colour], [depth_picture(predicted, near, far)], [depth_picture(truth, near, far)]]
    wide = -(-160 // predicted.shape[1])  # short sequences are stretched
    rows = [[np.repeat(picture[::step], wide, axis=1)] for (picture,) in rows]
    return images(rows, ("middle column over time",), ("frame", "depth", "ground truth"))
