"""Reports the result of a run of `configs/overfit.py`: `python tools/overfit_report.py RUN PREPARED`, as JSON."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np

from endodav_jax.checkpoints import load_model
from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.evaluation.motion import MotionEstimator
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.training.logs import METRICS_FILE, last_of_each_step, read_metrics

STEPS = 10  # averaged at each end, since every step sees a different clip
PHOTOMETRIC = "loss/loss_reprojection/0"


def main(run: Path, prepared: Path, split: str = "train") -> dict:
    """Reads the log and the networks of a run.

    Args:
      run: its workdir.
      prepared: the data set that it was trained on.
      split: the split of the data set.

    Returns:
      `photometric`: [before, after], means of the first and last steps at scale 0; `steps`; and where the video has
      poses what `agreement` says of the networks that come with the package (`shipped`) and of the run's (`trained`).
    """
    logged = last_of_each_step(read_metrics(run / METRICS_FILE), "train")
    errors = [line[PHOTOMETRIC] for line in logged]
    ends = min(STEPS, len(errors) // 2)
    figures = {
        "steps": logged[-1]["step"],
        "photometric": [float(np.mean(errors[:ends])), float(np.mean(errors[-ends:]))],
    }
    estimators = {"shipped": SHIPPED, "trained": run / "model"}
    estimators = {name: MotionEstimator(load_model(weights)[1]) for name, weights in estimators.items()}
    videos = EvaluationVideos(str(prepared), split)
    for sequence in videos.sequences:
        poses = [frame.cam_from_world for frame in videos.frames(sequence)]
        if all(pose is not None for pose in poses):
            known = np.stack([now @ inverse_rigid(before) for before, now in itertools.pairwise(poses)])
            figures[sequence] = {
                name: agreement(np.stack([motion for motion, _ in estimator(videos.frames(sequence))]), known)
                for name, estimator in estimators.items()
            }
    return figures


def agreement(found: np.ndarray, known: np.ndarray) -> dict[str, float]:
    """Compares relative motions [N,4,4] between neighbouring frames that are in different units of length.

    Returns:
      direction_cosine: mean cosine of the angle between the translations; 0 is chance, 1 is agreement.
      translation_correlation, rotation_correlation: of all components, about their means: a motion that is the same
        throughout counts for nothing.
    """
    moved, true = found[:, :3, 3], known[:, :3, 3]
    lengths = np.linalg.norm(moved, axis=1) * np.linalg.norm(true, axis=1)
    cosine = (moved * true).sum(1) / np.maximum(lengths, 1e-12)
    return {
        "direction_cosine": float(cosine.mean()),
        "translation_correlation": _correlation(moved, true),
        "rotation_correlation": _correlation(_axis_angles(found), _axis_angles(known)),
    }


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(0), b - b.mean(0)
    return float((a * b).sum() / max(np.sqrt((a**2).sum() * (b**2).sum()), 1e-12))


def _axis_angles(motions: np.ndarray) -> np.ndarray:
    """Rotation vectors [N,3] of small rotations."""
    turned = motions[:, :3, :3] - motions[:, :3, :3].swapaxes(1, 2)
    return np.stack([turned[:, 2, 1], turned[:, 0, 2], turned[:, 1, 0]], 1) / 2


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
