"""Keeps a few frames of each evaluated sequence with prediction and ground truth, for `endodav view`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.sequence import SequenceScores, as_evaluated
from endodav_jax.files import shortened, whole_file
from endodav_jax.geometry.pixels import resized_intrinsics

FRAMES_FOLDER = "frames"  # of an evaluation
LARGEST_SIDE = 320


class FrameKeeper:
    """Writes `NAME.npz` for each sequence; pass it to `evaluate_network` as `on_sequence`.

    Keys: `frames` uint8 [N,h,w,3]; `depth_mm`, the aligned prediction, and `truth_mm`, float32 [N,h,w], 0 where
    missing; `intrinsics` float64 [4] at this size; `frame_index` int64 [N]; and `cam_from_world` float64
    [N,4,4] if the data have poses.

    Attributes:
      written: the files written so far.

    Args:
      videos: the evaluated videos.
      config: the evaluation settings.
      folder: output folder.
      frames: number of frames kept per sequence, evenly spaced.
    """

    def __init__(self, videos: EvaluationVideos, config: EvaluateConfig, folder: Path, frames: int = 12):
        self._videos, self._config, self._folder, self._frames = videos, config, folder, frames
        self.written: set[Path] = set()

    def __call__(self, score: SequenceScores, depth: Sequence[np.ndarray]) -> None:
        """Writes the frames of a sequence."""
        chosen = set(np.linspace(0, score.frames - 1, self._frames).round().astype(int).tolist())
        kept: dict[str, list] = {key: [] for key in ("frames", "depth_mm", "truth_mm", "frame_index", "cam_from_world")}
        intrinsics = None
        for number, frame in enumerate(self._videos.frames(score.sequence, score.frames)):
            if number not in chosen:
                continue
            aligned, valid = as_evaluated(score, frame, depth[number], self._config)
            if not valid.any():
                continue
            size = _shown(frame.frame.shape[:2])
            intrinsics = resized_intrinsics(frame.intrinsics, frame.frame.shape[:2], size)
            kept["frames"].append(cv2.resize(frame.frame, size[::-1], interpolation=cv2.INTER_AREA))
            for key, values in (("depth_mm", aligned), ("truth_mm", np.where(valid, frame.truth_mm, 0))):
                small = cv2.resize(values.astype(np.float32), size[::-1], interpolation=cv2.INTER_NEAREST)
                kept[key].append(small)
            kept["frame_index"].append(frame.frame_index)
            if frame.cam_from_world is not None:
                kept["cam_from_world"].append(frame.cam_from_world)
        if not kept["frames"]:
            return
        if len(kept["cam_from_world"]) < len(kept["frames"]):
            del kept["cam_from_world"]
        file = self._folder / f"{file_stem(score.sequence)}.npz"
        self.written.add(file)
        with whole_file(file) as part:
            stacked: dict[str, Any] = {key: np.stack(values) for key, values in kept.items()}
            np.savez(part, **stacked | {"intrinsics": intrinsics})


def file_stem(sequence: str) -> str:
    """Returns the name, without a suffix, of a sequence's file in the folders of an evaluation."""
    return shortened(sequence.replace("/", "_"))


def _shown(size: tuple[int, int]) -> tuple[int, int]:
    factor = min(1.0, LARGEST_SIDE / max(size))
    return round(size[0] * factor), round(size[1] * factor)
