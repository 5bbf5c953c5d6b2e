"""The picture in `docs/infer.md`: frames of rendered scenes, the shipped network's depth, and the truth.

python tools/families_picture.py docs/depth.png
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import endodav_jax
from endodav_jax.checkpoints.shipped import WITHOUT_WEIGHTS
from endodav_jax.data.phantom import PhantomConfig
from endodav_jax.data.phantom.sequence import render_sequence
from endodav_jax.evaluation.alignment import fit_alignment
from endodav_jax.geometry.depth import depth_from_disparity
from endodav_jax.report.pictures import depth_picture

SEED = 2024  # pretraining draws from other seeds
FRAMES = 24
SHOWN = 16
SCENES = {"colon": (0, 1), "organ": (0, 1)}
GAP = 4  # white pixels between pictures


def main(out: Path) -> None:
    """Writes two scenes of each family side by side: frame, depth, truth."""
    model = endodav_jax.load(WITHOUT_WEIGHTS)
    halves = []
    for family, scenes in SCENES.items():
        phantom = PhantomConfig.of(family, seed=SEED, sequences=max(scenes) + 1, frames=FRAMES)
        rows = []
        for scene in scenes:
            rendered = list(render_sequence(phantom, scene))
            depth = depth_from_disparity(model.infer(np.stack([frame["frame"] for frame in rendered])))[SHOWN]
            truth = rendered[SHOWN]["depth_mm"]
            valid = truth > 0
            near, far = np.percentile(truth[valid], (2, 98))
            aligned = fit_alignment("scale_shift", depth[valid], truth[valid])(depth)
            maps = [depth_picture(values, near, far) for values in (np.maximum(aligned, 0.1) * valid, truth)]
            rows.append(np.concatenate([_framed(picture) for picture in (rendered[SHOWN]["frame"], *maps)], 1))
        halves.append(np.concatenate(rows))
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(halves, 1)[:-GAP, :-GAP]).save(out, optimize=True)


def _framed(picture: np.ndarray) -> np.ndarray:
    return np.pad(picture, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
