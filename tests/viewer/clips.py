"""Folders as commands write them, of a plane whose distances are known."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np

from endodav_jax.scale.estimate import Scale
from endodav_jax.video.depth_files import write_npz
from endodav_jax.video.encoder import mp4_writer

SIZE = (48, 64)
INTRINSICS = np.array([60.0, 60.0, 31.5, 23.5])
DEPTH = 50.0
FRAMES = 4


def write_depth_folder(folder: Path, unit: str = "mm", path: bool = True) -> Path:
    """What `infer` (with `path` also `reconstruct`) writes: a plane at 50 mm, the camera going right by 2 a frame."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    with mp4_writer(folder / "clip_src.mp4", Fraction(10)) as append:
        for _ in range(FRAMES):
            append(rng.integers(60, 200, (*SIZE, 3), np.uint8))
    plane = np.full(SIZE, DEPTH, np.float32)
    maps = {"disparities": lambda: [1 / plane] * FRAMES, "depths": lambda: [plane / 10] * FRAMES}
    about: dict = {"intrinsics": {"origin": "given"}}
    if unit == "mm":
        maps["depths_mm"] = lambda: [plane] * FRAMES
        about["scale"] = Scale(10.0, 9.5, 10.5, "a known length", 3, 60).described()
    write_npz(folder / "clip_depths.npz", SIZE, list(range(FRAMES)), maps, Fraction(10), INTRINSICS)
    if path:
        about["pieces"] = [{"frames": FRAMES}]
        frames = []
        for i in range(FRAMES):
            pose = np.eye(4)
            pose[0, 3] = -2.0 * i  # the world goes left
            frames.append({"frame": i, "piece": 1, "cam_from_world": pose.tolist(), "keyframe": True})
        (folder / "cameras.json").write_text(json.dumps({"frames": frames}))
    (folder / "clip_meta.json").write_text(json.dumps(about))
    return folder


def write_evaluation_folder(folder: Path) -> Path:
    """What `evaluate` leaves for the page: a prediction that is 10% too far everywhere."""
    (folder / "frames").mkdir(parents=True)
    (folder / "results.json").write_text("{}")
    truth = np.full((FRAMES, *SIZE), DEPTH, np.float32)
    truth[:, :4] = 0
    frames = np.full((FRAMES, *SIZE, 3), 90, np.uint8)
    np.savez(folder / "frames" / "seq_1.npz", frames=frames, truth_mm=truth, depth_mm=1.1 * np.full_like(truth, DEPTH),
             intrinsics=INTRINSICS, frame_index=np.arange(FRAMES))  # fmt: skip
    return folder
