"""Back-projection and reprojection of the pinhole camera."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endodav_jax.geometry.camera import backproject, intrinsics_matrix, intrinsics_vector, reproject
from endodav_jax.geometry.rigid import rigid_from_axis_angle
from endodav_jax.geometry.sampling import pixel_grid
from tests.golden_cases import relative_error

INTRINSICS = jnp.array([6.5, 6.0, 4.0, 3.0], jnp.float32)


@pytest.mark.golden
def test_points_and_pixels_equal_the_published_program(golden):
    case = golden.arrays("geometry")
    intrinsics = intrinsics_vector(case["K"])
    assert relative_error(backproject(case["depth"], intrinsics), case["points"]) < 1e-5
    pixels, depth = reproject(case["depth"], intrinsics, case["transform"])
    assert relative_error(pixels, case["pixels"]) < 1e-5
    assert relative_error(depth, case["projected_depth"]) < 1e-5


@settings(max_examples=30, deadline=None)
@given(st.floats(1, 200), st.floats(1, 200), st.floats(-20, 20), st.floats(-20, 20), st.floats(1e-2, 150))
def test_without_motion_a_pixel_stays(fx, fy, cx, cy, depth):
    intrinsics = jnp.array([[fx, fy, cx, cy]], jnp.float32)
    pixels, z = reproject(jnp.full((1, 3, 5), depth, jnp.float32), intrinsics, jnp.eye(4)[None])
    np.testing.assert_allclose(pixels[0], pixel_grid(3, 5), atol=2e-3)
    np.testing.assert_allclose(z, depth, rtol=1e-6)


def test_reprojection_is_projection_of_the_moved_points():
    rng = np.random.default_rng(0)
    depth = jnp.asarray(rng.uniform(1, 3, (2, 4, 5)), jnp.float32)
    intrinsics = jnp.asarray(rng.uniform(3, 6, (2, 4)), jnp.float32)
    motion = rigid_from_axis_angle(*jnp.asarray(rng.uniform(-0.2, 0.2, (2, 2, 3)), jnp.float32))
    points, moves = np.asarray(backproject(depth, intrinsics), np.float64), np.asarray(motion, np.float64)
    moved = np.einsum("nij,nhwj->nhwi", moves[:, :3, :3], points) + moves[:, None, None, :3, 3]
    focal, centre = np.split(np.asarray(intrinsics, np.float64)[:, None, None], 2, axis=-1)
    pixels, z = reproject(depth, intrinsics, motion)
    np.testing.assert_allclose(pixels, focal * moved[..., :2] / moved[..., 2:] + centre, atol=1e-5)
    np.testing.assert_allclose(z, moved[..., 2], rtol=1e-5)


def test_matrix_and_vector_of_intrinsics_are_one():
    matrix = intrinsics_matrix(INTRINSICS)
    np.testing.assert_array_equal(matrix, [[6.5, 0, 4], [0, 6, 3], [0, 0, 1]])
    np.testing.assert_array_equal(intrinsics_vector(matrix), INTRINSICS)


@pytest.mark.parametrize("depth", [0.0, -1e-7, -1.0, 1e-7, 150.0])
@pytest.mark.parametrize("moves_by", [(0, 0, 0), (0, 0, -1), (0.3, 0, -200)])
def test_derivatives_are_finite_behind_and_in_the_plane_of_the_camera(depth, moves_by):
    def total(depth, axis_angle, translation, intrinsics):
        motion = rigid_from_axis_angle(axis_angle, translation)
        pixels, z = reproject(depth, intrinsics, motion)
        return pixels.sum() + z.sum()

    zero = jnp.zeros((1, 3), jnp.float32)
    translation = jnp.array([moves_by], jnp.float32)
    arguments = (jnp.full((1, 4, 5), depth, jnp.float32), zero, translation, INTRINSICS[None])
    value, gradients = jax.value_and_grad(total, (0, 1, 2, 3))(*arguments)
    assert bool(jnp.isfinite(value))
    assert all(bool(jnp.isfinite(gradient).all()) for gradient in gradients)
