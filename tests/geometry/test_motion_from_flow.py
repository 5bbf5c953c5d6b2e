"""Turn and shift of a camera from the flow that they make."""

import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.geometry.flow import rigid_flow
from endodav_jax.geometry.motion_from_flow import motion_from_flow
from endodav_jax.geometry.rigid import rigid_from_axis_angle

INTRINSICS = jnp.array([[60.0, 60.0, 31.0, 23.0]])
TURNS = np.array([[0.0, 0.0, 0.0], [0.02, -0.05, 0.03], [-0.1, 0.08, 0.05]], np.float32)
SHIFTS = np.array([[1.5, 0.0, -0.5], [0.0, 0.0, 0.0], [-2.0, 1.0, 2.5]], np.float32)


@pytest.fixture(scope="module")
def depth() -> jnp.ndarray:
    y, x = np.mgrid[:48, :64] / 48.0
    relief = 40 + 15 * np.sin(5 * x) * np.cos(4 * y) + 10 * x
    return jnp.asarray(relief[None], jnp.float32)


def moved(turn, shift):
    return rigid_from_axis_angle(jnp.asarray(turn)[None], jnp.asarray(shift)[None])


@pytest.mark.parametrize(("turn", "shift"), list(zip(TURNS, SHIFTS, strict=True)))
def test_a_flow_gives_back_the_motion_that_made_it(depth, turn, shift):
    motion = moved(turn, shift)
    flow = rigid_flow(depth, INTRINSICS, motion)
    found = motion_from_flow(flow, 1 / depth, INTRINSICS, jnp.ones_like(depth))
    np.testing.assert_allclose(found.cam_b_from_cam_a[:, :3, :3], motion[:, :3, :3], atol=2e-5)
    np.testing.assert_allclose(found.cam_b_from_cam_a[:, :3, 3], motion[:, :3, 3], atol=2e-2)
    assert found.residual < 0.01


def test_a_turn_is_not_mistaken_for_a_shift(depth):
    turn = moved([0.0, 0.05, 0.0], [0.0, 0.0, 0.0])
    found = motion_from_flow(rigid_flow(depth, INTRINSICS, turn), 1 / depth, INTRINSICS, jnp.ones_like(depth))
    assert jnp.linalg.norm(found.cam_b_from_cam_a[:, :3, 3]) < 0.02  # of a depth of 45


def test_a_third_of_wrong_flow_is_outvoted(depth):
    motion = moved(TURNS[2], SHIFTS[2])
    flow = rigid_flow(depth, INTRINSICS, motion)
    flow = flow.at[:, :16].add(jnp.array([3.0, -4.0]))
    found = motion_from_flow(flow, 1 / depth, INTRINSICS, jnp.ones_like(depth))
    np.testing.assert_allclose(found.cam_b_from_cam_a[:, :3, :3], motion[:, :3, :3], atol=5e-3)


def test_depth_may_have_any_scale(depth):
    motion = moved(TURNS[2], SHIFTS[2])
    flow = rigid_flow(depth, INTRINSICS, motion)
    found = motion_from_flow(flow, 1000 / depth, INTRINSICS, jnp.ones_like(depth))
    np.testing.assert_allclose(1000 * found.cam_b_from_cam_a[:, :3, 3], motion[:, :3, 3], atol=2e-2)


def test_the_shift_of_a_disparity_is_found_along_with_the_motion(depth):
    motion = moved(TURNS[2], SHIFTS[2])
    flow = rigid_flow(depth, INTRINSICS, motion)
    wrong = 1 / depth + 0.01  # 0.023 is the mean
    kept = motion_from_flow(flow, wrong, INTRINSICS, jnp.ones_like(depth))
    freed = motion_from_flow(flow, wrong, INTRINSICS, jnp.ones_like(depth), free_shift=True)
    assert abs(freed.shift[0] + 0.01) < 1e-3
    wanted = np.asarray(motion[0, :3, :3])
    assert np.abs(freed.cam_b_from_cam_a[0, :3, :3] - wanted).max() < 1e-3
    assert np.abs(kept.cam_b_from_cam_a[0, :3, :3] - wanted).max() > 3e-3


def test_pixels_without_weight_do_not_count(depth):
    motion = moved(TURNS[1], SHIFTS[0])
    flow = rigid_flow(depth, INTRINSICS, motion)
    weights = jnp.ones_like(depth).at[:, :30].set(0)
    found = motion_from_flow(flow.at[:, :30].set(50.0), 1 / depth, INTRINSICS, weights)
    np.testing.assert_allclose(found.cam_b_from_cam_a[:, :3, :3], motion[:, :3, :3], atol=1e-4)


def test_no_pixel_at_all_is_no_motion(depth):
    flow = jnp.ones((*depth.shape, 2))
    found = motion_from_flow(flow, 1 / depth, INTRINSICS, jnp.zeros_like(depth))
    np.testing.assert_array_equal(found.cam_b_from_cam_a[0], np.eye(4))
