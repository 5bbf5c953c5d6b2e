"""A run's report draws what was logged, and stands for itself while the run has hardly begun."""

import json

import numpy as np
from PIL import Image

from endodav_jax.training import health
from endodav_jax.training.run_report import write_run_report


def line(step: int, kind: str = "train", **values) -> str:
    return json.dumps({"step": step, "kind": kind, **values}) + "\n"


def logged(step: int) -> dict:
    return {
        "loss": 1 / step, "loss/loss_reprojection/0": 0.5 / step, "loss/loss_depth_flow/0": 0.0,
        "gradient_norm/pose": 2.0, health.DRIFT: 1.0, health.RELIEF_KEPT: 0.9, health.ZERO_SHARE: 0.0,
        health.TRANSLATION: 0.1,
    }  # fmt: skip


def test_it_draws_losses_health_gradients_validation_and_the_newest_picture(tmp_path):
    lines = [line(step, **logged(step)) for step in range(1, 500)]
    lines += [line(499, "validation", abs_rel=0.1, rmse=3.0), '{"step": 500, "ki']
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    (tmp_path / "pictures").mkdir()
    for number in (1, 400):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pictures" / f"step_{number:07d}.png")
    write_run_report(tmp_path, "Training in toy", {"train.steps": 500})
    page = (tmp_path / "report.html").read_text()
    for word in ("reprojection", "relief against start", "Output equal to 0", "Norms before clipping", "rmse",
                 "step_0000400.png", "train.steps"):  # fmt: skip
        assert word in page, word
    assert "depth flow" not in page, "a loss that is off"
    assert "Optical flow: not part of this run" in page
    assert "step_0000001.png" not in page
    assert len(page) < 300_000


def test_a_step_that_was_repeated_is_drawn_as_it_was_the_last_time(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(line(1, loss=5.0) + line(2, loss=1e6) + line(2, loss=6.0))
    write_run_report(tmp_path, "Training", {})
    assert "1e+06" not in (tmp_path / "report.html").read_text()


def test_a_step_that_was_skipped_leaves_a_gap(tmp_path):
    lines = [line(1, **logged(1)), line(2, loss=None, **{health.DRIFT: None}), line(3, **logged(3)), line(4, loss=None)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    write_run_report(tmp_path, "Training", {})
    assert "nan" not in (tmp_path / "report.html").read_text().lower()


def test_a_run_that_has_logged_nothing_has_a_report(tmp_path):
    write_run_report(tmp_path, "Training", {})
    assert "nothing logged yet" in (tmp_path / "report.html").read_text()
