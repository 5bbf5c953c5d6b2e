"""A sequence is measured frame by frame as if all of it were in memory."""

import numpy as np
import pytest

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.running_median import RunningMedian
from endodav_jax.evaluation.sequence import means_and_intervals, score_sequence

RULES = ["scale_shift", "median", "least_squares", "disparity"]


def frames_of(case, poses=True):
    k = case["K"]
    intrinsics = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])

    def truth():
        for i, depth in enumerate(case["gt_depth"]):
            yield EvaluationFrame(
                frame=np.zeros((*depth.shape, 3), np.uint8),
                depth_mm=depth,
                cam_from_world=case["world_to_camera"][i] if poses else None,
                intrinsics=intrinsics,
                view_mask=np.ones(depth.shape, bool),
                sequence="golden",
                frame_index=i,
            )

    return truth


@pytest.fixture(scope="module")
def case(golden):
    return golden.arrays("metrics")


@pytest.mark.golden
def test_a_streamed_sequence_has_the_published_errors(case):
    scores = score_sequence("golden", frames_of(case), case["pred_depth"], EvaluateConfig())
    np.testing.assert_allclose(scores.depth, case["per_frame_errors"], rtol=1e-5)
    np.testing.assert_allclose(scores.temporal, case["per_pair_tae_tas"], rtol=1e-5)
    means, intervals = means_and_intervals([scores])
    assert means["abs_rel"] == pytest.approx(case["per_frame_errors"][:, 0].mean(), rel=1e-5)
    assert intervals["abs_rel"][0] < means["abs_rel"] < intervals["abs_rel"][1]


@pytest.mark.parametrize("rule", RULES)
def test_a_prediction_that_the_rule_can_undo_is_perfect(case, rule):
    truth = np.clip(case["gt_depth"], 1.0, None)
    distorted = {
        "scale_shift": 0.2 * truth + 3.0,
        "median": 0.2 * truth,
        "least_squares": 0.2 * truth + 3.0,
        "disparity": 1.0 / (0.4 / truth + 0.01),
    }[rule].astype(np.float32)
    for per_frame in (False, True):
        config = EvaluateConfig(align=rule, per_frame=per_frame)
        assert score_sequence("s", frames_of(case), distorted, config).means()["abs_rel"] < 1e-4


def test_without_poses_there_are_no_temporal_errors(case):
    scores = score_sequence("golden", frames_of(case, poses=False), case["pred_depth"], EvaluateConfig())
    assert scores.temporal.shape == (0, 2)
    assert np.isnan(scores.means()["tae"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p[:-1], "6 predictions, but more frames of ground truth"),
        (lambda p: np.concatenate([p, p[:1]]), "8 predictions, 7 frames of ground truth"),
        (lambda p: p[:, :-1], r"prediction of frame 0 is \(31, 40\), its ground truth \(32, 40\)"),
        (lambda p: np.where(np.arange(7)[:, None, None] == 3, np.nan, p), "prediction of frame 3 is not finite"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(case, spoil, message):
    if len(case["gt_depth"]) != 7 or case["gt_depth"].shape[1:] != (32, 40):
        pytest.skip("the messages quote the sizes of the repository's own golden case")
    with pytest.raises(ValueError, match=message):
        score_sequence("golden", frames_of(case), spoil(case["pred_depth"]), EvaluateConfig())


def test_predictions_of_no_depth_are_counted_and_refused_where_disparity_is_fitted(case):
    holes = np.where(np.arange(case["pred_depth"].shape[1])[:, None] < 8, 0, case["pred_depth"]).astype(np.float32)
    truth = np.full_like(case["gt_depth"], 40.0) + np.linspace(0, 9, case["gt_depth"].shape[2], dtype=np.float32)
    case = dict(case) | {"gt_depth": truth}
    for per_frame in (False, True):
        scores = score_sequence("s", frames_of(case), holes, EvaluateConfig(per_frame=per_frame))
        assert scores.no_depth == pytest.approx(8 / case["pred_depth"].shape[1])
        with pytest.raises(ValueError, match="frame 0 is 0 or less where the ground truth is valid"):
            score_sequence("s", frames_of(case), holes, EvaluateConfig(align="disparity", per_frame=per_frame))


@pytest.mark.parametrize("rule", RULES)
def test_disparity_given_as_depth_is_seen(case, rule):
    truth = np.clip(case["gt_depth"], 1.0, None)
    config = EvaluateConfig(align=rule)
    assert score_sequence("s", frames_of(case), (1 / truth).astype(np.float32), config).contrary
    assert not score_sequence("s", frames_of(case), truth.astype(np.float32), config).contrary


def test_a_sequence_without_any_valid_pixel_is_refused(case):
    empty = dict(case) | {"gt_depth": np.zeros_like(case["gt_depth"])}
    for config in (EvaluateConfig(), EvaluateConfig(per_frame=True), EvaluateConfig(align="least_squares")):
        with pytest.raises(ValueError, match="valid pixel"):
            score_sequence("golden", frames_of(empty), case["pred_depth"], config)


@pytest.mark.parametrize("count", [1, 2, 5, 1000, 1001])
def test_the_running_median_is_the_median(count):
    values = np.random.default_rng(count).standard_normal(count).astype(np.float32) * 100
    values[: count // 3] = 7.0  # many equal numbers
    median = RunningMedian()
    for step in (median.count, median.refine):
        for part in np.array_split(values, 3):
            step(part)
    assert median.value() == np.median(values.astype(np.float64))
