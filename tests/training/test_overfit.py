"""The objective falls on real pixels: a short endoscopy, where one is at hand.

`ENDODAV_REAL_VIDEOS` names a folder that holds `sinus/` (frames, `geometry.npz`, `mask.png`); by default it is
looked for beside the repository.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VIDEOS = Path(os.environ.get("ENDODAV_REAL_VIDEOS", ROOT.parent / "shared" / "data"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(not (VIDEOS / "sinus").is_dir(), reason=f"{VIDEOS} holds no sinus/ (ENDODAV_REAL_VIDEOS)"),
]


def run(*command: str) -> str:
    """Runs Python with these arguments in the repository and returns what it prints."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_photometric_error_falls_on_a_real_endoscopy(tmp_path):
    data, workdir = str(tmp_path / "data"), str(tmp_path / "run")
    prepare = ["prepare", "frames", str(VIDEOS / "sinus"), data, "--split", "train", "--size", "64x64", "--quiet"]
    run("-m", "endodav_jax.cli", *prepare)
    smaller = ["--config.train.steps=60", "--config.data.clip_length=2", "--config.model.image_shape=(28, 28)"]
    flags = ["--config", "configs/overfit.py", "--workdir", workdir, f"--config.data.path={data}", *smaller]
    run("-m", "endodav_jax.main", *flags)
    figures = json.loads(run("tools/overfit_report.py", workdir, data))
    before, after = figures["photometric"]
    assert figures["steps"] == 60
    assert after < 0.9 * before
    for agreement in figures["sinus"].values():
        assert all(-1 <= value <= 1 for value in agreement.values())
