"""Warping by optical flow, flow of rigid motion, and occlusion by forward splatting."""

import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.geometry.camera import intrinsics_vector
from endodav_jax.geometry.flow import rigid_flow, warp_by_flow
from endodav_jax.geometry.splat import correspondence_map, occlusion_mask
from tests.golden_cases import relative_error


@pytest.mark.golden
@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_warps_like_the_published_program(golden, padding):
    case = golden.arrays("geometry")
    warped = warp_by_flow(jnp.asarray(case["image"]), jnp.asarray(case["flow_yx"]), padding)
    assert relative_error(warped, case[f"flow_warped_{padding}"]) < 1e-5


@pytest.mark.golden
def test_rigid_flow_equals_the_published_program(golden):
    case = golden.arrays("geometry")
    flow = rigid_flow(case["depth"], intrinsics_vector(case["K"]), case["transform"])
    assert relative_error(flow, case["rigid_flow_yx"]) < 1e-5


@pytest.mark.golden
def test_occlusion_equals_the_published_program(golden):
    case = golden.arrays("geometry")
    assert relative_error(correspondence_map(case["flow_yx"]), case["correspondence_map"]) < 1e-5
    np.testing.assert_array_equal(occlusion_mask(case["flow_yx"]), case["occlusion_mask"])


@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_no_flow_changes_nothing(padding):
    image = jnp.asarray(np.random.default_rng(0).uniform(size=(2, 4, 6, 3)), jnp.float32)
    flow = jnp.zeros((2, 4, 6, 2), jnp.float32)
    np.testing.assert_array_equal(warp_by_flow(image, flow, padding), image)
    np.testing.assert_array_equal(correspondence_map(flow), 1)


def test_flow_is_y_then_x():
    image = jnp.arange(12, dtype=jnp.float32).reshape(1, 3, 4, 1)
    down = jnp.broadcast_to(jnp.array([1, 0], jnp.float32), (1, 3, 4, 2))
    np.testing.assert_array_equal(warp_by_flow(image, down, "border")[0, 0, :, 0], image[0, 1, :, 0])


def test_no_motion_makes_no_flow():
    depth = jnp.full((1, 4, 5), 3, jnp.float32)
    intrinsics = jnp.array([[4, 4, 2.5, 2]], jnp.float32)
    still = jnp.eye(4, dtype=jnp.float32)[None]
    np.testing.assert_allclose(rigid_flow(depth, intrinsics, still), 0, atol=1e-6)


def test_a_shift_hides_the_side_that_nothing_moves_to():
    right = jnp.broadcast_to(jnp.array([0, 2], jnp.float32), (1, 3, 5, 2))
    np.testing.assert_array_equal(occlusion_mask(right)[0], np.tile([0, 0, 1, 1, 1], (3, 1)))


def test_what_lands_outside_is_lost_however_far():
    away = jnp.full((1, 3, 5, 2), 1e30, jnp.float32)
    np.testing.assert_array_equal(correspondence_map(away), 0)
