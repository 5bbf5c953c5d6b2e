"""Resizing of stored frames: the published filter, exact depths, edges of the picture kept."""

import numpy as np
import pytest

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.data.resize import resize_depth, resize_frame


def make_frame(**changes) -> EvaluationFrame:
    values = {
        "frame": np.zeros((16, 24, 3), np.uint8),
        "depth_mm": None,
        "cam_from_world": np.eye(4),
        "intrinsics": np.array([20.0, 21.0, 11.5, 7.5]),
        "view_mask": np.ones((16, 24), bool),
        "sequence": "a",
        "frame_index": 3,
    }
    return EvaluationFrame(**values | changes)


@pytest.mark.golden
def test_colour_is_the_published_training_resize_rounded_to_whole_levels(golden):
    arrays = golden.arrays("preprocessing")
    for frame, expected in zip(arrays["train_frames"], arrays["train_scale_0"], strict=True):
        levels = np.round(frame * 255)
        found = resize_frame(
            make_frame(frame=levels.astype(np.uint8), view_mask=np.ones(levels.shape[:2], bool)), expected.shape[:2]
        ).frame
        # Half a level from rounding the result, up to half from rounding in between (rows, then columns).
        tolerance = 1.01 + np.abs(frame * 255 - levels).max()
        assert np.abs(found - expected * 255).max() <= tolerance


def test_the_centre_of_the_picture_stays_its_centre():
    found = resize_frame(make_frame(), (8, 6))
    np.testing.assert_allclose(found.intrinsics, [5.0, 10.5, 2.5, 3.5])
    assert found.frame.shape == (8, 6, 3)


def test_no_point_of_a_sparse_map_is_lost_and_the_nearest_wins():
    depth = np.zeros((40, 60), np.float32)
    depth[0, 0], depth[21, 33], depth[39, 59] = 5, 7, 9
    depth[20, 32] = 8
    expected = np.zeros((10, 15), np.float32)
    expected[0, 0], expected[5, 8], expected[9, 14] = 5, 7, 9
    np.testing.assert_array_equal(resize_depth(depth, (10, 15)), expected)
    assert not resize_depth(np.zeros((40, 60), np.float32), (10, 15)).any()


def test_a_mask_keeps_only_pixels_that_see_nothing_but_the_scene():
    mask = np.ones((16, 24), bool)
    mask[5, 9] = False
    found = resize_frame(make_frame(view_mask=mask), (8, 12)).view_mask
    expected = np.ones((8, 12), bool)
    expected[2, 4] = False
    np.testing.assert_array_equal(found, expected)


def test_a_frame_of_the_right_size_is_left_alone():
    frame = make_frame()
    assert resize_frame(frame, (16, 24)) is frame
