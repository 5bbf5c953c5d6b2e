"""The report of the quickstart, from runs that were stopped and went on."""

import json
import re
from pathlib import Path

import numpy as np

from endodav_jax.quickstart.story import learning_curves
from endodav_jax.quickstart.study_curve import STEPS, STUDY


def test_learning_curves_show_each_step_once_and_leave_out_a_line_that_was_cut_off(tmp_path):
    def line(step: int, loss: float | None, kind: str = "train") -> str:
        return json.dumps({"step": step, "kind": kind, "loss": loss, "loss/loss_reprojection/0": loss}) + "\n"

    text = line(1, 9.0) + line(2, 8.0) + '{"step": 3, "k\n' + line(2, 7.0) + line(3, None) + line(3, 1.0, "validation")
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 4, "kind": "train", "lo')
    for steps, values in learning_curves(tmp_path).values():
        np.testing.assert_array_equal(steps, [1, 2, 3])
        np.testing.assert_array_equal(values, [9.0, 7.0, np.nan])


def test_the_study_s_curves_have_the_figures_of_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
    (told,) = re.findall(r"These runs end at ([^(]*) \(", page)
    ends = [tuple(map(float, figures)) for figures in re.findall(r"(\.\d+) and (\d\.\d+)", told)]
    assert ends == [(round(errors.abs_rel[-1], 3), round(errors.tae[-1] + 1e-9, 2)) for errors in STUDY.values()]
    assert all(len(curve) == len(STEPS) for errors in STUDY.values() for curve in errors)
