"""Every metric agrees with the published evaluators' numbers."""

from typing import get_args

import numpy as np
import pytest

from endodav_jax.evaluation.alignment import Rule, fit_alignment, least_squares_of_pieces
from endodav_jax.evaluation.depth_errors import DepthRange, depth_errors, mean_and_interval
from endodav_jax.evaluation.pose_errors import snippet_errors
from endodav_jax.evaluation.temporal_errors import projection_matrix, temporal_errors

RANGE = DepthRange()


@pytest.fixture(scope="module")
def case(golden):
    return golden.arrays("metrics")


@pytest.mark.golden
@pytest.mark.parametrize(("rule", "name"), [("scale_shift", "aligned_scale_shift"), ("median", "aligned_median")])
def test_a_sequence_is_aligned_as_published(case, rule, name):
    truth, predicted = case["gt_depth"], case["pred_depth"]
    valid = RANGE.valid(truth)
    aligned = fit_alignment(rule, predicted[valid], truth[valid])(predicted)
    assert np.abs(aligned - case[name]).max() < 1e-5 * np.abs(case[name]).max()


@pytest.mark.golden
def test_errors_of_each_frame(case):
    truth, predicted = case["gt_depth"], RANGE.clip(case["aligned_scale_shift"])
    errors = [depth_errors(p, t, RANGE.valid(t)) for p, t in zip(predicted, truth, strict=True)]
    np.testing.assert_allclose(errors, case["per_frame_errors"], rtol=1e-5)


@pytest.mark.golden
def test_temporal_errors_of_each_pair(case):
    truth, predicted = case["gt_depth"], RANGE.clip(case["aligned_scale_shift"])
    k = case["K"]
    intrinsics = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])
    projections = [projection_matrix(intrinsics, pose) for pose in case["world_to_camera"]]
    found = [
        temporal_errors(
            predicted[i], RANGE.valid(truth[i]), projections[i],
            predicted[i + 1], RANGE.valid(truth[i + 1]), projections[i + 1],
        )
        for i in range(len(truth) - 1)
    ]  # fmt: skip
    np.testing.assert_allclose(found, case["per_pair_tae_tas"], rtol=1e-5)


@pytest.mark.golden
def test_pose_errors_of_each_snippet(case):
    trajectory, rotation = snippet_errors(case["pred_relative"], case["gt_relative"])
    np.testing.assert_allclose(trajectory, case["ate"], rtol=1e-5)
    np.testing.assert_allclose(rotation, case["rotation_error"], rtol=1e-5)


@pytest.mark.golden
def test_least_squares_scale_and_shift(case):
    found = fit_alignment("least_squares", case["lsq_prediction"], case["lsq_target"])
    np.testing.assert_allclose((found.scale, found.shift), case["lsq_scale_shift"], rtol=1e-4)


def test_a_frame_without_a_valid_pixel_has_no_errors():
    depth = np.ones((4, 5), np.float32)
    assert depth_errors(depth, 0 * depth, RANGE.valid(0 * depth)) is None


def test_ground_truth_out_of_range_or_missing_does_not_count():
    truth = np.array([[0.0, np.nan, 1e-3, 150.0, 149.0]], np.float32)
    assert RANGE.valid(truth).tolist() == [[False, False, False, False, True]]


def test_the_interval_is_students():
    mean, (low, high) = mean_and_interval([1.0, 2.0, 3.0, 4.0])
    # t(0.975, 3) = 3.182446; standard error = 0.645497
    assert mean == 2.5
    np.testing.assert_allclose((low, high), (2.5 - 2.054260, 2.5 + 2.054260), rtol=1e-6)
    assert np.isnan(mean_and_interval([1.0])[1]).all()


@pytest.mark.parametrize(("rule", "distort"), [
    ("scale_shift", lambda depth: 0.3 * depth + 7.0),
    ("median", lambda depth: 0.3 * depth),
    ("least_squares", lambda depth: 0.3 * depth + 7.0),
    ("disparity", lambda depth: 1.0 / (0.5 / depth + 0.02)),
])  # fmt: skip
def test_a_rule_undoes_the_distortion_it_models(rule, distort):
    truth = np.random.default_rng(0).uniform(20.0, 90.0, 500)
    predicted = distort(truth)
    np.testing.assert_allclose(fit_alignment(rule, predicted, truth)(predicted), truth, rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-7, 1e-3, 1.0, 1e3, 1e7])
@pytest.mark.parametrize("rule", get_args(Rule))
def test_the_unit_of_a_prediction_changes_nothing(rule, unit):
    """Every rule has a scale, so depth in another unit is aligned to the same."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(20.0, 90.0, 500)
    predicted = (0.02 * truth + rng.uniform(0.0, 1.0, 500)).astype(np.float32)
    aligned = fit_alignment(rule, predicted, truth)(predicted)
    inverse = rule == "disparity"
    in_unit = predicted * np.float32(unit)
    np.testing.assert_allclose(fit_alignment(rule, in_unit, truth)(in_unit), aligned, rtol=1e-4)
    if rule in ("least_squares", "disparity"):
        pieces = zip(np.array_split(in_unit, 7), np.array_split(truth, 7), strict=True)
        np.testing.assert_allclose(least_squares_of_pieces(pieces, inverse)(in_unit), aligned, rtol=1e-4)
    assert aligned.std() > 1


def test_a_fit_of_pieces_is_exact_where_the_spread_is_small_beside_the_level():
    truth = np.random.default_rng(0).uniform(20.0, 90.0, 500)
    predicted = 3e6 + truth
    pieces = zip(np.array_split(predicted, 7), np.array_split(truth, 7), strict=True)
    found = least_squares_of_pieces(pieces, inverse=False)
    np.testing.assert_allclose(found.scale, 1, rtol=1e-6)
    np.testing.assert_allclose(found.scale * predicted + found.shift, truth, rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-7, 1.0, 1e7])
@pytest.mark.parametrize(
    ("rule", "level"),
    [
        ("scale_shift", np.median),
        ("least_squares", np.mean),
        ("disparity", lambda truth: 1 / np.mean(1 / truth)),
    ],
)
def test_a_constant_prediction_is_only_shifted_to_the_level_of_the_truth(rule, level, unit):
    truth = np.random.default_rng(0).uniform(20.0, 90.0, 500)
    constant = np.full(500, 30.1 * unit, np.float32).astype(np.float64)
    found = fit_alignment(rule, constant, truth)
    assert found.scale == 1
    np.testing.assert_allclose(found(constant), level(truth), rtol=1e-6)


def test_nothing_to_align_by_and_unknown_rules_are_refused():
    with pytest.raises(ValueError, match="no valid pixel"):
        fit_alignment("median", np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="no alignment rule 'best'"):
        fit_alignment("best", np.ones(1), np.ones(1))


def test_a_camera_at_rest_before_unchanged_depth_has_no_temporal_error():
    depth = np.full((40, 50), 30.0, np.float32)
    valid = np.ones_like(depth, bool)
    projection = projection_matrix(np.array([40.0, 40.0, 25.0, 20.0]), np.eye(4))
    tae, tas = temporal_errors(depth, valid, projection, depth, valid, projection)
    assert tae < 1e-4
    assert tas == 1.0
    tae, tas = temporal_errors(depth, valid, projection, 2 * depth, valid, projection)
    np.testing.assert_allclose((tae, tas), (75.0, 0.0), atol=1e-4)  # |60-30|/60 one way, |30-60|/30 the other


def test_pairs_that_do_not_overlap_have_no_temporal_error():
    depth = np.full((8, 10), 30.0, np.float32)
    nowhere = np.zeros_like(depth, bool)
    projection = projection_matrix(np.array([10.0, 10.0, 5.0, 4.0]), np.eye(4))
    assert np.isnan(temporal_errors(depth, nowhere, projection, depth, nowhere, projection)).all()


def test_a_trajectory_is_judged_up_to_scale():
    motions = np.tile(np.eye(4), (6, 1, 1))
    motions[:, :3, 3] = np.random.default_rng(0).standard_normal((6, 3))
    shrunk = motions.copy()
    shrunk[:, :3, 3] *= 0.01
    trajectory, rotation = snippet_errors(shrunk, motions)
    assert trajectory.max() < 1e-12
    assert rotation.max() == 0.0
