"""The README's first command, at the least size that has every part."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.quick_compilation import QUICK_COMPILATION

ROOT = Path(__file__).parents[2]
ERRORS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "tae")
SMALLER = [
    "--config.model.image_shape=(28, 28)",
    "--config.data.phantom.sequences=2", "--config.data.phantom.held_out=1", "--config.data.phantom.frames=12",
    "--config.data.phantom.held_out_frames=34", "--config.data.phantom.every=2", "--config.data.batch_size=1",
    "--config.data.phantom.height=64", "--config.data.phantom.width=64", "--config.data.clip_length=2",
    "--config.train.steps=2", "--config.train.log_every=1",
]  # fmt: skip

pytestmark = pytest.mark.slow


def run(workdir: Path, *more: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "endodav_jax.main", "--config", "configs/quickstart.py", "--workdir", workdir]
    return subprocess.run(
        [*map(str, command), *SMALLER, *more],
        cwd=ROOT,
        env=os.environ | QUICK_COMPILATION,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("quickstart")
    done = run(workdir)
    assert done.returncode == 0, done.stderr[-3000:]
    return workdir, done.stdout


def test_results_hold_before_after_and_four_rows_of_ablation(finished):
    results = json.loads((finished[0] / "results.json").read_text())
    for figures in (results["before"], results["after"], results["steadied"], *results["ablation"]):
        assert all(np.isfinite(figures[name]) for name in ERRORS)
    rows = [(row["projection_loss"], row["depth_alignment"]) for row in results["ablation"]]
    assert rows == [(False, False), (True, False), (False, True), (True, True)]
    assert results["after"] == {name: results["ablation"][3][name] for name in ERRORS}
    assert results["before"] != results["after"]
    assert results["data"]["frames"] == 34


def test_networks_trained_with_and_without_projection_loss_differ(finished):
    ablation = json.loads((finished[0] / "results.json").read_text())["ablation"]
    assert ablation[2]["rmse"] != ablation[3]["rmse"]
    logged = {}
    for kind in ("with", "without"):
        lines = (finished[0] / f"{kind}_projection_loss" / "metrics.jsonl").read_text().splitlines()
        logged[kind] = [json.loads(line)["loss/loss_depth_reproj/0"] for line in lines if '"train"' in line]
    assert all(value > 0 for value in logged["with"])
    assert logged["without"] == [0.0, 0.0]


def test_videos_point_clouds_and_a_report_are_left(finished):
    workdir, printed = finished
    for folder in ("depth_before", "depth_after"):
        names = {path.name for path in (workdir / folder).iterdir()}
        assert len([name for name in names if name.endswith("_sbs.mp4")]) == 1
        assert len(list((workdir / folder).glob("*_points_ply/*.ply"))) == 34
    page = (workdir / "report.html").read_text()
    for words in (
        "before fine-tuning",
        "after fine-tuning",
        "after, steadied",
        "neither",
        "both",
        "paper, SCARED",
        "the study",
        "data:image",
    ):
        assert words in page
    assert "change" in printed


def test_run_again_it_trains_nothing_anew(finished):
    results = (finished[0] / "results.json").read_text()
    done = run(finished[0])
    assert done.returncode == 0, done.stderr[-3000:]
    assert "resuming from step 2 of 2" in done.stdout
    again, before = json.loads((finished[0] / "results.json").read_text()), json.loads(results)
    assert again["ablation"] == before["ablation"]


def test_the_benchmark_of_the_adapters_says_what_the_truth_would_teach_them(finished):
    command = ["tools/benchmark.py", "adapters", "--steps", "2", "--clip-length", "2", "--workdir"]
    done = subprocess.run([sys.executable, *command, finished[0]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["before"] != figures["after"]
    assert 0 < figures["motion_pixels"] < 10


def test_without_a_phantom_it_says_so_in_one_line(tmp_path):
    done = run(tmp_path, "--config.data.phantom.family=")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("endodav_jax: config.data.phantom.family")
