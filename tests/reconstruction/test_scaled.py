"""Confidence is about the scale that is given: where depth is right in it, little error is expected."""

import numpy as np
import pytest

from endodav_jax.reconstruction.clip import CameraPath, DepthView
from endodav_jax.reconstruction.confidence import ConfidenceModel, measure
from endodav_jax.reconstruction.scaled import scaled
from endodav_jax.reconstruction.tracker import Tracked
from endodav_jax.scale.estimate import one_scale
from tests.bumpy_wall import INTRINSICS, SIZE, look, stroll

FRAMES = 4
OFF = 1.3  # by which the network's depth is too small at the right, where it is not measured
UNIT = 12.0  # mm of the network's unit
INSIDE = np.ones(SIZE, bool)
LEFT = np.arange(SIZE[1]) < SIZE[1] // 2


@pytest.fixture(scope="module")
def clip():
    views = []
    for number, pose in enumerate(stroll(FRAMES)):
        rgb, depth = look(pose)
        views.append(DepthView(number, rgb, (depth / UNIT / np.where(LEFT, 1, OFF)).astype(np.float32), INSIDE))
    return views


@pytest.fixture(scope="module")
def path():
    """With points that know all of this, about the middle of the view."""
    middle = float(np.sqrt(OFF))  # of what the depths are off by: the path's unit is the depth's there
    places = np.random.default_rng(0).random((600, 2))
    ratios = np.where(places[:, 0] < 0.5, -0.5, 0.5) * np.log(OFF)
    points = np.column_stack([places, ratios, np.full(600, 0.01)]).astype(np.float32)
    poses = stroll(FRAMES)
    for pose in poses:
        pose[:3, 3] /= UNIT * middle
    frames = [
        Tracked(number, 0, pose, 1.0, number == 0, 1.0, 1.0, 0.01, "", points) for number, pose in enumerate(poses)
    ]
    return CameraPath(tuple(frames), np.asarray(INTRINSICS, np.float64), 2.0)


def measured(frames):
    """What points at the left measure."""
    ratios = {}
    for frame in frames():
        where = (frame.depth > 0) & (np.arange(SIZE[1]) < SIZE[1] // 3)
        ratios[frame.index] = look(stroll(FRAMES)[frame.index])[1][where] / frame.depth[where]
    return one_scale(ratios, "points at the left")


def expected(view, tracked):
    error = ConfidenceModel.shipped().expected_error(measure(view, [], INTRINSICS, tracked.triangulated))
    return float(np.median(error[:, : SIZE[1] // 3])), float(np.median(error[:, 2 * SIZE[1] // 3 :]))


def test_the_scale_is_that_of_depth_where_it_is_measured(clip, path):
    scale, _ = scaled(lambda: iter(clip), path, measured)
    assert scale.factor == pytest.approx(UNIT, rel=1e-3)


def test_the_path_has_its_true_length_in_that_scale(clip, path):
    scale, about = scaled(lambda: iter(clip), path, measured)
    for frame, true in zip(about.frames, stroll(FRAMES), strict=True):
        np.testing.assert_allclose(scale.factor * frame.cam_from_world[:3, 3], true[:3, 3], rtol=0.02)


def test_expected_errors_are_those_of_depth_in_that_scale(clip, path):
    _, about = scaled(lambda: iter(clip), path, measured)
    left, right = expected(clip[1], path.frames[1])
    assert left == pytest.approx(right, rel=0.3)
    left, right = expected(clip[1], about.frames[1])
    assert right > 2 * left
