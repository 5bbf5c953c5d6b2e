"""Frames that were not trained on, the truth, and two networks' depth and errors: before and after fine-tuning.

python tools/study_picture.py out/study docs/study.png

Columns: frame, true depth, depth before, its error, depth after, its error.  Depth is aligned as in the evaluation, by
one scale and shift a sequence; errors are relative, from 0 (black) to 40% (white).
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from endodav_jax.checkpoints import MODEL_FOLDER, load_model
from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.evaluation.alignment import fit_alignment
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.report.pictures import depth_picture

FRAMES, SHOWN = 32, 16
SEQUENCES = 4
LARGEST_ERROR = 0.4
COLOURS = 128  # in the file, which makes it a third as large
GAP = 4  # white pixels between pictures


def main(run: Path, out: Path) -> None:
    """Writes a row for each of the first test sequences of a run's phantom."""
    videos = EvaluationVideos(run / "data", "test")
    after, trained, _ = load_model(str(run / MODEL_FOLDER))
    before, shipped, _ = load_model(SHIPPED)
    before = dataclasses.replace(before, image_shape=after.image_shape)
    networks = [DepthEstimator(before, shipped["depth"]), DepthEstimator(after, trained["depth"])]
    rows = []
    for sequence in videos.sequences[:SEQUENCES]:
        frames = list(videos.frames(sequence, FRAMES))
        truth = np.stack([frame.truth_mm for frame in frames])
        valid = truth > 0
        near, far = np.percentile(truth[SHOWN][valid[SHOWN]], (1, 99))
        pictures = [frames[SHOWN].frame, depth_picture(truth[SHOWN], near, far)]
        for network in networks:
            depth = network.infer_depth(np.stack([frame.frame for frame in frames]))
            aligned = fit_alignment("scale_shift", depth[valid], truth[valid])(depth[SHOWN])
            error = np.abs(aligned - truth[SHOWN]) / np.where(valid[SHOWN], truth[SHOWN], 1) * valid[SHOWN]
            grey = np.round(255 * np.minimum(error / LARGEST_ERROR, 1)).astype(np.uint8)
            maps = depth_picture(np.maximum(aligned, 0.1) * valid[SHOWN], near, far), np.repeat(grey[..., None], 3, 2)
            pictures += maps
        rows.append(np.concatenate([np.pad(p, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for p in pictures], 1))
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)[:-GAP, :-GAP]).quantize(COLOURS).save(out, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
