"""The contract refuses whatever does not keep it, and says which key."""

import numpy as np
import pytest

from endodav_jax.data.contract import BATCH, EvaluationFrame, check, check_batch, check_evaluation_frame


def batch(**changes) -> dict[str, np.ndarray]:
    values = {
        "frames": np.zeros((2, 5, 8, 6, 3), np.uint8),
        "jitter": np.tile(np.float32([1, 1, 1, 0]), (2, 1)),
        "jitter_order": np.tile(np.arange(4, dtype=np.int32), (2, 1)),
        "intrinsics": np.ones((2, 4), np.float32),
        "view_mask": np.ones((2, 8, 6), bool),
        "frame_index": np.zeros((2, 5), np.int32),
        "sequence": np.zeros(2, np.int32),
        "depth_mm": np.zeros((2, 5, 8, 6), np.float32),
        "cam_from_world": np.full((2, 5, 4, 4), np.nan, np.float32),
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


def test_a_batch_with_and_without_ground_truth_keeps_the_contract():
    check_batch(batch(), ranges=True)
    check_batch(batch(depth_mm=None, cam_from_world=None), ranges=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": np.zeros((2, 5, 8, 6, 3), np.float32)}, "frames: float32, wanted uint8"),
        ({"frames": np.zeros((2, 3, 5, 8, 6), np.uint8)}, "frames: shape"),
        ({"jitter": None}, "jitter: missing"),
        ({"view_mask": np.ones((2, 6, 8), bool)}, "view_mask: shape .* with B=2, F=5, H=8, W=6"),
        ({"frame_index": np.zeros((2, 4), np.int32)}, "frame_index: shape"),
        ({"extra": np.zeros(2)}, "extra: not a key"),
        ({"jitter_order": np.zeros((2, 4), np.int32)}, "not a permutation"),
        ({"depth_mm": np.full((2, 5, 8, 6), -1, np.float32)}, "depth_mm: values -1.0 to -1.0 leave the range 0"),
        ({"intrinsics": np.full((2, 4), np.nan, np.float32)}, "intrinsics: not finite"),
    ],
)
def test_a_broken_batch_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        check_batch(batch(**changes), ranges=True)


def test_an_evaluation_frame_may_lack_ground_truth_but_not_its_mask():
    values = {
        "frame": np.zeros((8, 6, 3), np.uint8),
        "depth_mm": None,
        "cam_from_world": None,
        "intrinsics": np.ones(4),
        "view_mask": np.ones((8, 6), bool),
        "sequence": "a",
        "frame_index": 0,
    }
    check_evaluation_frame(EvaluationFrame(**values), ranges=True)
    with pytest.raises(ValueError, match="view_mask: missing"):
        check_evaluation_frame(EvaluationFrame(**values | {"view_mask": None}))


def test_every_field_says_its_unit_and_meaning():
    assert all(field.unit and field.meaning for field in BATCH.values())
    with pytest.raises(ValueError, match="frames: missing"):
        check({}, BATCH)
