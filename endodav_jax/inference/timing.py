"""Measures the speed of an estimator: the rate of frames in a long video once everything is compiled."""

import time
from collections.abc import Iterable

import numpy as np

from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.inference.windows import CONTEXT_SLOTS, STEP, AlignRule


def paced(disparities: Iterable[tuple[int, np.ndarray]]) -> tuple[float, float]:
    """Consumes the output of `iter_infer` and times it.

    The first window encodes ten extra frames and the last may be short; only the steady rate in between is measured.

    Args:
      disparities: for a video of more than three windows.

    Returns:
      Seconds for the whole video, and the median seconds per window.
    """
    started, starts = time.perf_counter(), []
    for number, _ in disparities:
        if number > CONTEXT_SLOTS and (number - CONTEXT_SLOTS) % STEP == 0:
            starts.append(time.perf_counter())
    return time.perf_counter() - started, float(np.median(np.diff(starts)))


def milliseconds_per_frame(
    estimator: DepthEstimator, frame_shape: tuple[int, int] = (256, 320), align: AlignRule = "endodav", windows: int = 3
) -> float:
    """Times an estimator on moving noise.

    Args:
      estimator: the estimator to time.
      frame_shape: (height, width) of the video.
      align: how its windows are aligned.
      windows: number of windows for the median.
    """
    noise = np.random.default_rng(0).integers(0, 256, (*frame_shape, 3), np.uint8)
    frames = STEP * (windows + 1) + CONTEXT_SLOTS + 1
    list(estimator.iter_infer([noise], align))  # everything is compiled and has run once
    _, window = paced(estimator.iter_infer((np.roll(noise, 2 * i, axis=0) for i in range(frames)), align))
    return 1e3 * window / STEP
