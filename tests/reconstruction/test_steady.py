"""Depth that flickers and is bent, steadied along the camera's path: what points tell is mended, the rest is kept."""

import dataclasses
import functools

import numpy as np
import pytest

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.errors import UserError
from endodav_jax.reconstruction.clip import CameraPath, DepthView, given_path
from endodav_jax.reconstruction.steady import SteadyDepth, steady_sequence
from tests.bumpy_wall import INTRINSICS, SIZE, look, stroll
from tests.reconstruction.test_refine import BEND, FRAMES, POSES, seen

INSIDE = np.ones(SIZE, bool)


def frames_of(views, intrinsics=INTRINSICS):
    for view in views:
        yield EvaluationFrame(view.rgb, None, None, np.asarray(intrinsics), view.inside, "wall", view.index)


@pytest.fixture(scope="module")
def views():
    return seen(stroll(FRAMES))


@pytest.fixture(scope="module")
def truth():
    return np.stack([look(pose)[1] for pose in stroll(FRAMES)])


def log_errors(depth, truth):
    """What log depth is off by, after the clip's own factor."""
    off = np.log(depth) - np.log(truth)
    return off - off.mean()


def test_flicker_and_bend_go_though_nothing_tells_the_truth(views, truth):
    depth = np.stack([view.depth for view in views])
    before = log_errors(depth, truth)
    steady_sequence(functools.partial(frames_of, views), depth)
    after = log_errors(depth, truth)
    assert before.mean((1, 2)).std() > 0.025
    assert after.mean((1, 2)).std() < 0.25 * before.mean((1, 2)).std()
    assert np.abs(after).mean() < 0.35 * np.abs(before).mean()


class Points:
    """Followed points: `count` of them in as many frames, all at one depth; none by default."""

    def __init__(self, frames=0, count=0):
        self._frame, self._name = (part.ravel() for part in np.mgrid[:frames, :count])

    def observations(self):
        """As `FollowedPoints` gives them."""
        return self._frame, self._name, np.zeros((len(self._frame), 2)), np.full(len(self._frame), 40.0)


def rows_of(deviation, apart=0.0):
    """Twelve points in the middle of a view that all deviate, half of them nearer than their depth, half farther."""
    ratios = np.tile([-apart, apart], 6)
    return np.column_stack([np.full((12, 2), 0.5), ratios, np.full(12, deviation)]).astype(np.float32)


def path_of(count, change) -> CameraPath:
    """A path of as many frames, each changed by fields of `Tracked`."""
    views = [DepthView(number, *look(POSES[0]), INSIDE) for number in range(count)]
    path = given_path(lambda: iter(views), INTRINSICS, [np.eye(4)] * count)
    frames = (dataclasses.replace(frame, **change(number=number)) for number, frame in enumerate(path.frames))
    return dataclasses.replace(path, frames=tuple(frames))


def test_a_frame_without_points_gets_its_factor_relative_to_the_clips():
    depth = np.where(np.arange(SIZE[1]) < 5, 0, 40 * BEND).astype(np.float32) * np.ones(SIZE, np.float32)
    told = (rows_of(0.01), None)
    path = path_of(2, lambda number: {"scale": (3.0, 3.3)[number], "triangulated": told[number]})
    steady = SteadyDepth(path, Points())
    for place, factor in enumerate((1.1**-0.5, 1.1**0.5)):
        steadied = steady(place, depth, INSIDE)
        np.testing.assert_allclose(steadied, factor * depth, rtol=1e-5)
        assert (steadied[:, :5] == 0).all()


def test_frames_near_one_in_which_the_camera_is_lost_are_left_as_they_are_and_that_is_said():
    def change(number):
        return (
            {"piece": -1, "cam_from_world": None}
            if number == 70
            else {"scale": 1.01 ** (number % 2), "triangulated": rows_of(0.01)}
        )

    steady = SteadyDepth(path_of(90, change), Points())
    depth = np.full(SIZE, 40, np.float32)
    off = np.array([abs(np.log(steady(place, depth, INSIDE)[0, 0] / 40)) for place in range(90)])
    np.testing.assert_array_equal(off[50:], 0)
    np.testing.assert_allclose(off[:30], np.log(1.01) / 2, rtol=0.05)
    assert 0 < off[40] < 0.6 * off[0]
    assert "lost in 1 of 90 frames; they and those near them, 40 in all" in steady.note


def believes(steady, count) -> bool:
    """Whether it corrects depth, which it says where it does not."""
    depth = np.full(SIZE, 40, np.float32)
    kept = all(np.array_equal(steady(place, depth, INSIDE), depth) for place in range(count))
    assert (f"the path of {count} of {count} frames is not reliable" in steady.note) == kept
    return not kept


@pytest.mark.parametrize(("deviation", "reliable"), [(0.015, True), (0.025, False)])
def test_a_path_that_makes_depth_jump_is_reliable_only_if_it_explains_well_how_points_move(deviation, reliable):
    path = path_of(30, lambda number: {"scale": 1.06 ** (number % 2), "triangulated": rows_of(deviation)})
    assert believes(SteadyDepth(path, Points(30, 8)), 30) == reliable


def test_a_path_of_which_no_points_tell_is_not_reliable():
    assert not believes(SteadyDepth(path_of(2, lambda number: {"scale": 1.1**number}), Points()), 2)


@pytest.mark.parametrize(
    ("deviation", "apart", "reliable"), [(0.031, 0.4, True), (0.06, 0.1, True), (0.05, 0.4, False)]
)
def test_a_path_that_explains_its_points_badly_and_contradicts_depth_is_not_reliable(deviation, apart, reliable):
    rows = rows_of(deviation, apart)
    steady = SteadyDepth(path_of(4, lambda number: {"scale": 1.01**number, "triangulated": rows}), Points())
    assert believes(steady, 4) == reliable


def test_the_depth_of_points_along_the_path_stays_what_it_was():
    random = np.random.default_rng(0)
    x, y = (random.integers(0, size, 40) for size in SIZE[::-1])
    ratios = 0.2 * (x / SIZE[1] - 0.5)
    rows = np.column_stack([(x + 0.5) / SIZE[1], (y + 0.5) / SIZE[0], ratios, np.full(40, 0.01)]).astype(np.float32)
    path = path_of(3, lambda number: {"scale": 2 * 1.01**number, "triangulated": rows})
    steady = SteadyDepth(path, Points())
    before = np.full(SIZE, 40, np.float32)
    after = [steady(place, before, INSIDE) for place in range(3)]
    left = steady.left(path, (np.log(depth / before) for depth in after))
    assert np.ptp([frame.scale for frame in left.frames]) < 1e-5
    for old, new, depth in zip(path.frames, left.frames, after, strict=True):
        told = np.log(before[y, x] * old.scale) + old.triangulated[:, 2]
        np.testing.assert_allclose(np.log(depth[y, x] * new.scale) + new.triangulated[:, 2], told, atol=1e-4)
        assert np.abs(new.triangulated[:, 2]).mean() < 0.5 * np.abs(ratios).mean()


def test_points_that_parallax_says_little_about_change_little():
    columns = np.linspace(0.05, 0.95, 40)
    right = columns > 0.6
    rows = np.column_stack([columns, columns[::-1], np.where(right, 0.3, 0.0), np.full(40, 0.02)])
    depth = np.full(SIZE, 40, np.float32)
    change = {}
    for deviation in (0.02, 1.0):
        told = rows.astype(np.float32)
        told[right, 3] = deviation
        path = path_of(3, lambda number, told=told: {"triangulated": told})
        change[deviation] = np.ptp(np.log(SteadyDepth(path, Points())(1, depth, INSIDE)))
    assert change[0.02] > 0.1
    assert change[1.0] < 0.1 * change[0.02]


def test_frames_without_a_lens_are_refused(views):
    with pytest.raises(UserError, match="wall: the data have no intrinsics, which steadying needs"):
        steady_sequence(lambda: frames_of(views, np.zeros(4)), np.ones((FRAMES, *SIZE), np.float32))
