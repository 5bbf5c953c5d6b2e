"""The words of an evaluation: what was measured, on which list, beside the paper's figures."""

import dataclasses

import numpy as np
import pytest

from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.evaluate import evaluate_predictions
from endodav_jax.evaluation.paper import TABLE_2, published_for
from endodav_jax.report.evaluation import COLUMNS, about_lines, error_rows, published_rows, terminal_table
from tests.evaluation.plane_videos import PlaneVideos, depth_of


def measured(folder, **videos):
    np.save(folder / "a.npy", np.stack([depth_of(number) for number in range(4)]))
    return evaluate_predictions(folder, PlaneVideos({"a": 4}, **videos), EvaluateConfig(), "truth")


def test_scared_stands_beside_the_paper(tmp_path):
    rows = published_rows(measured(tmp_path))
    assert rows[0] == ["", "abs rel", "sq rel", "RMSE", "RMSE log", "d<1.25", "TAE %"]
    assert rows[1][:2] == ["ours", "0.000"]
    assert rows[-1] == ["paper, EndoDAV", "0.156", "3.113", "12.257", "0.182", "0.761", "0.39"]


def test_the_paper_has_no_tae_for_hamlyn_and_nothing_for_other_data():
    assert [row.tae for row in published_for("hamlyn_video")] == [None] * 3
    assert published_for("phantom") == ()


def test_the_paper_s_ablation_has_one_row_for_each_choice():
    assert [(row.projection_loss, row.depth_alignment) for row in TABLE_2] == [
        (False, False), (True, False), (False, True), (True, True),
    ]  # fmt: skip
    assert TABLE_2[-1].abs_rel == published_for("scared_video")[-1].abs_rel


def test_the_list_and_the_alignment_are_said(tmp_path):
    said = " ".join(about_lines(measured(tmp_path)))
    assert "test_files, 8 sequences" in said
    assert "scale_shift, fitted once per sequence" in said


def test_depth_that_was_steadied_is_said_to_be(tmp_path):
    results = measured(tmp_path)
    assert "--steady" not in " ".join(about_lines(results))
    steadied = dataclasses.replace(results.config, predictions="", steady=True)
    said = " ".join(about_lines(dataclasses.replace(results, config=steadied)))
    assert "steadied along the camera's path (--steady)" in said


def test_numbers_that_look_like_those_of_wrong_inputs_are_doubted(tmp_path):
    results = measured(tmp_path)
    said = " ".join(about_lines(results))
    assert "0 or less" not in said
    assert "falls" not in said
    (score,) = results.scores
    doubted = dataclasses.replace(score, no_depth=0.25, contrary=True)
    said = " ".join(about_lines(dataclasses.replace(results, scores=(doubted,))))
    assert f"depth of 0 or less, which counts as such, is predicted at valid pixels of {score.sequence} (25%)" in said
    assert f"predicted depth falls where true depth rises in {score.sequence}" in said
    config = dataclasses.replace(results.config, predictions="other")
    said = " ".join(about_lines(dataclasses.replace(results, scores=(doubted,), config=config)))
    assert "(--kind disparity)" in said


def test_frames_without_ground_truth_are_counted(tmp_path):
    def only_near(depth):
        return np.where(depth[0, 0] < depth_of(2)[0, 0], depth, 0)

    said = " ".join(about_lines(measured(tmp_path, spoiled={"a": only_near})))
    assert "2 frames have no valid pixel" in said


def test_without_poses_tae_is_a_dash(tmp_path):
    rows = error_rows(measured(tmp_path, poses=False))
    column = 1 + list(COLUMNS).index("tae")
    assert [row[column] for row in rows] == ["-", "-", "-"]


@pytest.mark.parametrize("name", ["", "a/long name"])
def test_columns_of_the_terminal_s_table_stand_below_each_other(name):
    lines = terminal_table([[name, "1.5", "22"], ["b", "-", "3"]], ["sequence", "x", "y"]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2].endswith("1.5  22")
