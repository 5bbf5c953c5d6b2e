"""Depth against that of followed points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.losses.points import point_errors

SHAPE, LENGTH = (12, 16), 2
X, Y = 0, 1


@pytest.fixture(scope="module")
def clips():
    """Depth of two clips of two frames [4,H,W], and points [4,5,4] that agree with it, each clip in its own unit."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(20, 60, (2 * LENGTH, *SHAPE)).astype(np.float32)
    x, y = (rng.integers(0, size, (2 * LENGTH, 5)) for size in SHAPE[::-1])
    told = np.log(depth[np.arange(2 * LENGTH)[:, None], y, x]) + np.repeat([0.7, -2.0], LENGTH)[:, None]
    return jnp.asarray(depth), jnp.asarray(np.stack([x, y, told, np.full_like(told, 20)], -1), jnp.float32)


def test_right_depth_in_any_unit_of_the_clip_has_no_error(clips):
    depth, points = clips
    errors, weights = point_errors(depth, points, LENGTH)
    np.testing.assert_allclose(errors, 0, atol=1e-5)
    np.testing.assert_array_equal(weights, 20)
    np.testing.assert_allclose(point_errors(3 * depth, points, LENGTH)[0], 0, atol=1e-5)


def test_frames_of_a_clip_share_a_unit(clips):
    depth, points = clips
    errors, _ = point_errors(depth.at[0].multiply(np.exp(0.2)), points, LENGTH)
    np.testing.assert_allclose(errors[:LENGTH], 0.1, atol=1e-5)
    np.testing.assert_allclose(errors[LENGTH:], 0, atol=1e-5)


def test_what_is_not_sure_says_little_and_no_point_nothing(clips):
    depth, points = clips
    wrong = points.at[0, 0, 2].add(1.0)
    unsure = point_errors(depth, wrong.at[0, 0, 3].set(1e-3), LENGTH)
    assert float((unsure[0] * unsure[1]).sum()) < 0.01
    errors, weights = point_errors(depth, wrong.at[0, 0].set(0), LENGTH)
    np.testing.assert_allclose(errors * weights, 0, atol=1e-3)
    nothing = point_errors(depth, jnp.zeros_like(points), LENGTH)
    assert bool(jnp.isfinite(nothing[0]).all())
    assert float(nothing[1].sum()) == 0


def test_depth_is_pulled_to_what_points_say_where_they_are(clips):
    depth, points = clips
    deeper = points.at[0, 0, 2].add(1.0)
    slope = jax.grad(lambda depth: jnp.multiply(*point_errors(depth, deeper, LENGTH)).sum())(depth)
    x, y = (int(points[0, 0, axis]) for axis in (X, Y))
    assert float(slope[0, y, x]) < 0, "the error falls when depth grows there"
    seen = np.zeros(SHAPE, bool)
    seen[np.asarray(points[0, :, Y], int), np.asarray(points[0, :, X], int)] = True
    assert float(jnp.abs(slope[0][~seen]).max()) == 0
