"""What a run logs can be read by anything that reads JSON, and by this package whatever stopped the run."""

import json
import math

import numpy as np
import pytest

from endodav_jax.training.logs import METRICS_FILE, RunLog, last_of_each_step, read_metrics


def refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


@pytest.fixture
def run(tmp_path):
    """A run that was killed while it wrote step 3, and went on from step 1."""
    with RunLog(tmp_path) as log:
        log.scalars(1, "train", {"loss": 3.0})
        log.scalars(2, "train", {"loss": math.nan, "gradient_norm/pose": np.float32(np.inf), "loss/loss_cvt/0": 0.5})
    with open(tmp_path / METRICS_FILE, "a") as file:
        file.write('{"step": 3, "kind": "tr')
    with RunLog(tmp_path) as log:
        log.scalars(2, "train", {"loss": 1.0})
        log.scalars(2, "validation", {"rmse": 4.0})
        log.scalars(3, "train", {"loss": math.nan})
    return tmp_path


def test_a_number_that_is_not_finite_is_null_in_the_file(run):
    lines = (run / METRICS_FILE).read_text().splitlines()
    assert json.loads(lines[1], parse_constant=refuse) == {
        "step": 2, "kind": "train", "loss": None, "gradient_norm/pose": None, "loss/loss_brightness_smoothness/0": 0.5,
    }  # fmt: skip
    assert json.loads(lines[-1], parse_constant=refuse)["loss"] is None


def test_null_and_the_bare_nan_of_older_runs_are_read_as_nan(run):
    with open(run / METRICS_FILE, "a") as file:
        file.write('{"step": 4, "kind": "train", "loss": NaN}\n')
    losses = [line["loss"] for line in read_metrics(run / METRICS_FILE) if line["kind"] == "train"]
    np.testing.assert_array_equal(losses, [3.0, math.nan, 1.0, math.nan, math.nan])


def test_a_line_that_was_cut_off_is_left_out_and_a_step_logged_again_counts_once(run):
    last = last_of_each_step(read_metrics(run / METRICS_FILE), "train")
    assert [line["step"] for line in last] == [1, 2, 3]
    assert last[1] == {"step": 2, "kind": "train", "loss": 1.0}


def test_a_run_without_a_log_has_logged_nothing(tmp_path):
    assert read_metrics(tmp_path / METRICS_FILE) == []
