"""A network's depth for a whole sequence, on disk, so that memory does not grow with its length."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.errors import UserError
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.files import size_text
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.inference.recent_masks import RecentMasks
from endodav_jax.scale.estimate import MM_PER_M


@contextlib.contextmanager
def predicted_depth(
    estimator: DepthEstimator, videos: EvaluationVideos, sequence: str, config: EvaluateConfig
) -> Iterator[np.ndarray]:
    """Yields the depth of a sequence, float32 [N,H,W], as a memory-mapped temporary file, deleted afterwards."""
    length = min(videos.length(sequence), config.max_len or videos.length(sequence))
    first = next(videos.frames(sequence, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "depth.npy"
        _check_space(folder, 4 * length * first.frame.shape[0] * first.frame.shape[1])
        depth = np.lib.format.open_memmap(path, "w+", np.float32, (length, *first.frame.shape[:2]))
        mask = None if first.view_mask.all() else first.view_mask
        metric = estimator.config.metric
        counted = None if first.frame_mask is None else RecentMasks()

        def frames() -> Iterator[np.ndarray]:
            for frame in videos.frames(sequence, length):
                if counted is not None:
                    counted.append(frame.frame_mask)
                yield frame.frame

        for number, disparity in estimator.iter_infer(frames(), config.windows, mask, mask_of=counted):
            depth[number] = estimator.config.depth(disparity)
            if metric:
                depth[number] *= np.float32(MM_PER_M)
        yield depth
        del depth


def _check_space(folder: str, needed: int) -> None:
    """Raises `UserError` if a mapped file of that many bytes does not fit, which would end the process at a write."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{Path(folder).parent}: a sequence's depth needs {size_text(needed)}, {size_text(free)} are free; set "
            "TMPDIR to a folder with more space, or give --max-length"
        )
