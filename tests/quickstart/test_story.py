"""The report of the quickstart, from runs that were stopped and went on."""

import json

import numpy as np

from endodav_jax.quickstart.story import learning_curves


def test_learning_curves_show_each_step_once_and_leave_out_a_line_that_was_cut_off(tmp_path):
    def line(step: int, loss: float | None, kind: str = "train") -> str:
        return json.dumps({"step": step, "kind": kind, "loss": loss, "loss/loss_reprojection/0": loss}) + "\n"

    text = line(1, 9.0) + line(2, 8.0) + '{"step": 3, "k\n' + line(2, 7.0) + line(3, None) + line(3, 1.0, "validation")
    (tmp_path / "metrics.jsonl").write_text(text + '{"step": 4, "kind": "train", "lo')
    for steps, values in learning_curves(tmp_path).values():
        np.testing.assert_array_equal(steps, [1, 2, 3])
        np.testing.assert_array_equal(values, [9.0, 7.0, np.nan])
