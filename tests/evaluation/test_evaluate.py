"""Predictions of any method, in any form, measured by one rule; what is wrong with one sequence stays its own."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.evaluate import ERRORS, evaluate_predictions
from endodav_jax.evaluation.predictions import FrameFiles, find_predictions
from endodav_jax.models import DepthModelConfig
from tests.evaluation.plane_videos import SHAPE, PlaneVideos, depth_of

LENGTH = 6
VIDEOS = PlaneVideos({"test/dataset8/keyframe0": LENGTH, "test/dataset9/keyframe1": LENGTH})
FIRST, SECOND = VIDEOS.sequences
TRUTH = np.stack([depth_of(number) for number in range(LENGTH)])
MEDIAN = EvaluateConfig(align="median")


def write(folder, maps, *sequences, key="depths"):
    for sequence in sequences:
        np.savez(folder / f"{sequence.replace('/', '_')}.npz", **{key: maps})


def test_perfect_predictions_have_no_errors(tmp_path):
    write(tmp_path, TRUTH, *VIDEOS.sequences)
    results = evaluate_predictions(tmp_path, VIDEOS, EvaluateConfig(), label="truth")
    assert results.failures == {}
    means = results.means()
    assert max(means[name] for name in ("abs_rel", "sq_rel", "rmse", "rmse_log")) < 1e-4
    assert [means[name] for name in ("a1", "a2", "a3", "tas")] == [1.0] * 4
    assert means["tae"] < 2.0  # points land on whole pixels; the wall's depth changes across one


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"x": 0}', "has no `scale`"),
        ("{", "no JSON with a number under `scale`"),
        ('{"scale": "wide"}', "no JSON with a number under `scale`"),
        ('{"scale": 0}', "`scale` is 0; give a positive number"),
        ('{"scale": NaN}', "`scale` is nan"),
        ('{"scale": true}', "`scale` is True; give a positive number"),
    ],
)
def test_a_file_of_the_scale_of_pngs_without_one_is_named(tmp_path, text, told):
    Image.fromarray(np.ones((4, 4), np.uint16)).save(tmp_path / "0.png")
    (tmp_path / "scale.json").write_text(text)
    with pytest.raises(UserError) as error:
        FrameFiles([tmp_path / "0.png"])
    assert str(error.value).startswith(f"{tmp_path / 'scale.json'}: {told}")
    assert "\n" not in str(error.value)


def test_a_known_distortion_has_the_errors_that_it_must_have(tmp_path):
    # A factor 1.3 on every second frame.  The median over the sequence lies between, so the ratio of the two halves
    # stays 1.3 whatever the rule's scale.
    distorted = TRUTH * np.where(np.arange(LENGTH) % 2, 1.3, 1.0)[:, None, None].astype(np.float32)
    write(tmp_path, distorted, *VIDEOS.sequences)
    results = evaluate_predictions(tmp_path, VIDEOS, MEDIAN)
    score = results.scores[0]
    relative = np.sign(score.depth[:, 3]) * score.depth[:, 0]
    scale = score.alignment.scale
    np.testing.assert_allclose(
        relative, np.where(np.arange(LENGTH) % 2, abs(1.3 * scale - 1), abs(scale - 1)), rtol=1e-4
    )
    # One way depth is 1.3 too deep, the other way 1.3 too near.
    assert score.means()["tae"] == pytest.approx(50 * (0.3 + 0.3 / 1.3), abs=3)
    assert results.means()["tas"] < 0.1


def test_a_fit_of_every_frame_undoes_what_one_fit_cannot(tmp_path):
    distorted = TRUTH * np.where(np.arange(LENGTH) % 2, 1.3, 1.0)[:, None, None].astype(np.float32)
    write(tmp_path, distorted, *VIDEOS.sequences)
    results = evaluate_predictions(tmp_path, VIDEOS, EvaluateConfig(align="median", per_frame=True))
    assert results.means()["abs_rel"] < 1e-5
    assert "on each frame" in results.alignment_line()


def as_npz(folder, name):
    np.savez_compressed(folder / f"{name}.npz", depth=TRUTH, fps=25.0)


def as_npy(folder, name):
    np.save(folder / f"{name}.npy", TRUTH[..., None])


def frames_as(suffix, inner=""):
    def write_frames(folder, name):
        place = folder / name / inner
        place.mkdir(parents=True)
        for number, depth in enumerate(TRUTH):
            path = place / f"frame_{number * 3}.{suffix}"  # 0, 3, 6, 9, 12: text order is another
            if suffix == "npy":
                np.save(path, depth)
            elif suffix == "png":
                Image.fromarray((depth * 256).astype(np.uint16)).save(path)
            else:
                import OpenEXR

                header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
                OpenEXR.File(header, {"Z": depth}).write(str(path))

    return write_frames


@pytest.mark.parametrize(
    "writer",
    [as_npz, as_npy, frames_as("npy"), frames_as("png"), frames_as("exr"), frames_as("png", "depth")],
    ids=["npz", "npy", "frames npy", "frames png", "frames exr", "frames in depth/"],
)
@pytest.mark.parametrize("name", ["test/dataset8/keyframe0", "test_dataset8_keyframe0", "Test-Dataset_8-keyframe-0"])
def test_every_form_of_predictions_is_read(tmp_path, writer, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    writer(tmp_path, name)
    videos = PlaneVideos({FIRST: LENGTH})
    results = evaluate_predictions(tmp_path, videos, EvaluateConfig())
    assert results.failures == {}
    assert results.means()["abs_rel"] < 1e-3


def test_disparity_is_turned_into_depth_as_a_network_s_is(tmp_path):
    disparity = (1 / TRUTH - 1 / 150) / (10 - 1 / 150)
    write(tmp_path, disparity, *VIDEOS.sequences, key="disparities")
    results = evaluate_predictions(tmp_path, VIDEOS, EvaluateConfig(kind="disparity"))
    assert results.means()["abs_rel"] < 1e-4
    other = evaluate_predictions(
        tmp_path, VIDEOS, EvaluateConfig(kind="disparity"), model=DepthModelConfig(min_depth=1.0)
    )
    assert other.means()["abs_rel"] > 10 * results.means()["abs_rel"]
    refused = evaluate_predictions(tmp_path, VIDEOS, EvaluateConfig())
    assert refused.scores == ()
    assert "contains disparities, expected depths or depth; use --kind disparity" in refused.failures[FIRST]


def spoil_nan(maps):
    maps = maps.copy()
    maps[3, 5, 5] = np.nan
    return maps


@pytest.mark.parametrize(
    ("maps", "reason"),
    [
        (TRUTH[:-1], "5 predictions for 6 frames of ground truth"),
        (np.concatenate([TRUTH, TRUTH]), "12 predictions for 6 frames of ground truth"),
        (TRUTH[:, :-1], r"prediction of frame 0 is \(23, 32\), its ground truth \(24, 32\)"),
        (spoil_nan(TRUTH), "prediction of frame 3 is not finite"),
        (TRUTH[:0], "0 predictions for 6 frames"),
        (None, r"no prediction; looked for test/dataset9/keyframe1.npz, .*npy and test/dataset9/keyframe1/"),
        ("damaged", "cannot be read as npz; write it again"),
        (np.array(["a"]), "expected one map per frame"),
    ],
    ids=["too few", "too many", "other size", "nan", "empty", "missing", "damaged", "text"],
)  # fmt: skip
def test_a_bad_sequence_is_named_in_one_line_and_the_others_are_measured(tmp_path, maps, reason):
    write(tmp_path, TRUTH, FIRST)
    if isinstance(maps, str):
        (tmp_path / f"{SECOND.replace('/', '_')}.npz").write_bytes(b"PK\x03\x04 cut short")
    elif maps is not None:
        write(tmp_path, maps, SECOND)
    results = evaluate_predictions(tmp_path, VIDEOS, EvaluateConfig())
    assert [score.sequence for score in results.scores] == [FIRST]
    assert results.means()["abs_rel"] < 1e-4
    assert list(results.failures) == [SECOND]
    assert "\n" not in results.failures[SECOND]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(results.failures[SECOND])


def test_a_sequence_without_valid_pixels_or_without_frames_is_named(tmp_path):
    write(tmp_path, TRUTH, "a", "b")
    videos = PlaneVideos({"a": LENGTH, "b": LENGTH, "c": 0}, spoiled={"b": np.zeros_like})
    results = evaluate_predictions(tmp_path, videos, EvaluateConfig())
    assert [score.sequence for score in results.scores] == ["a"]
    assert "no frame has a valid pixel" in results.failures["b"]
    assert results.failures["c"] == "has no frames"


def test_when_every_sequence_fails_there_are_no_numbers(tmp_path):
    results = evaluate_predictions(tmp_path, VIDEOS, EvaluateConfig())
    assert set(results.failures) == set(VIDEOS.sequences)
    assert all(np.isnan(value) for value in results.means().values())
    assert results.to_json()["overall"]["abs_rel"] is None


def test_a_missing_folder_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no such folder of predictions"):
        evaluate_predictions(tmp_path / "nowhere", VIDEOS, EvaluateConfig())


def test_two_predictions_that_fit_equally_are_not_guessed_between(tmp_path):
    for name in ("Seq-A.npy", "seq.a.npy"):
        np.save(tmp_path / name, TRUTH)
    with pytest.raises(UserError, match=r"Seq-A.npy and seq.a.npy both match; keep one"):
        find_predictions(tmp_path, "seqa")


def test_a_lone_file_is_the_prediction_of_the_one_sequence(tmp_path):
    np.save(tmp_path / "anything.npy", TRUTH)
    results = evaluate_predictions(tmp_path / "anything.npy", PlaneVideos({"a": LENGTH}), EvaluateConfig())
    assert results.means()["abs_rel"] < 1e-4


@pytest.mark.parametrize("form", ["file", "frames"])
def test_one_prediction_is_not_taken_for_several_sequences(tmp_path, form):
    if form == "file":
        as_npy(tmp_path, "anything")
        place = tmp_path / "anything.npy"
    else:
        frames_as("npy")(tmp_path, "anything")
        place = tmp_path / "anything"
    with pytest.raises(UserError, match="is the prediction of one sequence, and the data set has several; give a"):
        evaluate_predictions(place, VIDEOS, EvaluateConfig())


@pytest.mark.parametrize("damage", ["pickled", "cut", "empty"])
@pytest.mark.parametrize("name", ["a", "b"])
def test_a_damaged_file_of_one_sequence_spoils_no_other(tmp_path, damage, name):
    as_npy(tmp_path, "A")
    as_npy(tmp_path, "B")
    file = tmp_path / f"{name.upper()}.npy"
    if damage == "pickled":
        np.save(file, np.array([{"depth": 1}], object))
    else:
        file.write_bytes(file.read_bytes()[: 20 if damage == "cut" else 0])
    results = evaluate_predictions(tmp_path, PlaneVideos({"a": LENGTH, "b": LENGTH}), EvaluateConfig())
    assert [score.sequence for score in results.scores] == [{"a": "b", "b": "a"}[name]]
    assert results.failures[name] == f"{file}: cannot be read as npy; write it again"


def test_only_the_first_frames_are_looked_at_if_so_configured(tmp_path):
    spoiled = TRUTH.copy()
    spoiled[4:] = np.nan
    write(tmp_path, spoiled, *VIDEOS.sequences)
    results = evaluate_predictions(tmp_path, VIDEOS, EvaluateConfig(max_len=4))
    assert [score.frames for score in results.scores] == [4, 4]


def test_json_has_every_error_with_its_interval_for_each_sequence_and_overall(tmp_path):
    write(tmp_path, TRUTH + np.random.default_rng(0).normal(0, 2, TRUTH.shape), FIRST)
    found = json.loads(json.dumps(evaluate_predictions(tmp_path, VIDEOS, MEDIAN, "noisy").to_json(), allow_nan=False))
    assert found["label"] == "noisy"
    assert (found["data_set"], found["split"]) == ("scared_video", "test")
    assert found["alignment"] == {"rule": "median", "per_frame": False}
    assert list(found["sequences"]) == [FIRST]
    assert list(found["failures"]) == [SECOND]
    assert found["config"]["far"] == 150.0
    assert {"endodav_jax", "jax", "numpy", "python"} <= set(found["versions"])
    for part in (found["overall"], found["sequences"][FIRST]):
        for name in ERRORS:
            low, high = part["intervals"][name]
            assert low <= part[name] <= high


def test_without_poses_json_has_no_temporal_errors(tmp_path):
    write(tmp_path, TRUTH, "a")
    results = evaluate_predictions(tmp_path, PlaneVideos({"a": LENGTH}, poses=False), EvaluateConfig())
    overall = results.to_json()["overall"]
    assert overall["tae"] is None
    assert overall["intervals"]["tas"] == [None, None]
    assert overall["abs_rel"] < 1e-4


def test_sparse_points_measure_as_dense_depth_does(tmp_path):
    """The points are few, but where they land predicted depth is known: TAE is that of the dense ground truth."""
    chosen = np.random.default_rng(1).random(SHAPE) < 0.03
    distorted = TRUTH * np.where(np.arange(LENGTH) % 2, 1.3, 1.0)[:, None, None].astype(np.float32)
    write(tmp_path, distorted, "dense", "sparse")
    videos = PlaneVideos(
        {"dense": LENGTH, "sparse": LENGTH}, spoiled={"sparse": lambda depth: np.where(chosen, depth, 0)}
    )
    dense, sparse = evaluate_predictions(tmp_path, videos, EvaluateConfig(align="median")).scores
    assert len(sparse.temporal) == LENGTH - 1
    assert sparse.means()["tae"] == pytest.approx(dense.means()["tae"], rel=0.1)
    assert sparse.means()["abs_rel"] == pytest.approx(dense.means()["abs_rel"], rel=0.2)


def test_each_measured_sequence_is_shown_with_its_depth(tmp_path):
    write(tmp_path, TRUTH, FIRST)
    shown = {}
    evaluate_predictions(
        tmp_path, VIDEOS, MEDIAN, on_sequence=lambda score, depth: shown.update({score.sequence: np.array(depth[2])})
    )
    assert list(shown) == [FIRST]
    np.testing.assert_array_equal(shown[FIRST], TRUTH[2])


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize(
    ("rule", "spoil", "words"),
    [
        ("median", lambda maps: np.where(np.arange(SHAPE[1]) < SHAPE[1] * 0.7, 0, maps), "median of the predicted"),
        ("median", lambda maps: -maps, "median of the predicted depth is -"),
        ("median", lambda maps: maps * np.float32(1e-43), "predictions span too much"),
        ("least_squares", lambda maps: maps.astype(np.float64) * 1e36, None),
    ],
)
def test_a_sequence_without_a_fit_is_named_and_the_others_are_measured(tmp_path, per_frame, rule, spoil, words):
    write(tmp_path, TRUTH, FIRST)
    write(tmp_path, spoil(TRUTH), SECOND)
    results = evaluate_predictions(tmp_path, VIDEOS, EvaluateConfig(align=rule, per_frame=per_frame))
    assert results.scores[0].sequence == FIRST
    assert np.isfinite(results.scores[0].depth).all()
    if words is None:  # large numbers are a matter of scale alone
        assert results.failures == {}
        return
    assert list(results.failures) == [SECOND]
    assert words in results.failures[SECOND]
    assert ("frame 0" in results.failures[SECOND]) == per_frame


def test_errors_that_are_not_finite_are_named(tmp_path):
    write(tmp_path, np.where(np.arange(SHAPE[1]) < 2, 0, TRUTH).astype(np.float32), FIRST)
    write(tmp_path, TRUTH, SECOND)
    results = evaluate_predictions(tmp_path, VIDEOS, EvaluateConfig(align="median", near=0.0))
    assert list(results.failures) == [FIRST]
    assert "not finite" in results.failures[FIRST]


class MaskedVideos(PlaneVideos):
    """The same with a mask of each frame, which leaves out its right half."""

    def frames(self, sequence, max_length=None):
        for frame in super().frames(sequence, max_length):
            mask = np.ones(SHAPE, bool)
            mask[:, SHAPE[1] // 2 :] = False
            yield dataclasses.replace(frame, frame_mask=mask)


@pytest.mark.parametrize("per_frame", [False, True])
def test_what_masks_of_frames_leave_out_counts_in_no_error(tmp_path, per_frame):
    spoiled = TRUTH.copy()
    spoiled[:, :, SHAPE[1] // 2 :] = 500.0
    write(tmp_path, spoiled, *VIDEOS.sequences)
    config = EvaluateConfig(per_frame=per_frame)
    means = evaluate_predictions(tmp_path, MaskedVideos(VIDEOS.lengths), config).means()
    assert max(means[name] for name in ("abs_rel", "sq_rel", "rmse", "rmse_log")) < 1e-4
    assert means["tae"] < 2.0
    assert evaluate_predictions(tmp_path, VIDEOS, config).means()["abs_rel"] > 0.1


def test_a_flipped_bit_of_a_compressed_npz_is_one_line_or_no_harm(tmp_path):
    write(tmp_path, TRUTH, FIRST)
    path = tmp_path / f"{SECOND.replace('/', '_')}.npz"
    np.savez_compressed(path, depths=TRUTH * (1 + 0.01 * np.random.default_rng(0).random(TRUTH.shape)))
    whole = path.read_bytes()
    told = []
    for place in range(0, len(whole), len(whole) // 40):
        data = bytearray(whole)
        data[place] ^= 16
        path.write_bytes(data)
        told += evaluate_predictions(tmp_path, VIDEOS, EvaluateConfig()).failures.values()
    assert len(told) > 10
    assert all("cannot be read as np" in line or "expected depths or depth" in line for line in told)


def test_means_without_a_sequence_that_failed_are_refused_where_all_are_needed(tmp_path):
    write(tmp_path, TRUTH, FIRST)
    results = evaluate_predictions(tmp_path, VIDEOS, EvaluateConfig())
    with pytest.raises(UserError, match=f"^{SECOND}: .*no prediction"):
        results.complete()
    write(tmp_path, TRUTH, SECOND)
    assert evaluate_predictions(tmp_path, VIDEOS, EvaluateConfig()).complete().means()["abs_rel"] < 1e-4
