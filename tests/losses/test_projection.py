"""The projection loss and its variant along the optical flow."""

import jax
import jax.numpy as jnp
import numpy as np

from endodav_jax.geometry.camera import reproject
from endodav_jax.geometry.flow import rigid_flow
from endodav_jax.geometry.rigid import rigid_from_axis_angle
from endodav_jax.losses.projection import LEAST_RELIEF, flow_depth_error, projection_error, relief

INTRINSICS = jnp.array([[20, 20, 8, 6]], jnp.float32)


def plane_depth(distance, height=12, width=16):
    return jnp.full((1, height, width), distance, jnp.float32)


def forward_by(distance):
    zero = jnp.zeros((1, 3), jnp.float32)
    return rigid_from_axis_angle(zero, jnp.array([[0, 0, -distance]], jnp.float32))


def test_depths_of_one_plane_seen_from_two_places_agree():
    pixels, z = reproject(plane_depth(5.0), INTRINSICS, forward_by(1.0))
    error, mask = projection_error(pixels, z, plane_depth(4.0))
    assert bool(mask.any())
    assert not bool(mask.all())  # the camera came nearer: the rim left its view
    inside = (pixels[..., 0] > 0) & (pixels[..., 0] < 15) & (pixels[..., 1] > 0) & (pixels[..., 1] < 11)
    np.testing.assert_allclose(jnp.where(inside, error, 0), 0, atol=1e-5)


def test_the_error_is_the_disagreement_in_depth():
    pixels, z = reproject(plane_depth(5.0), INTRINSICS, forward_by(0.0))
    error, mask = projection_error(pixels, z, plane_depth(4.5))
    np.testing.assert_allclose(error[:, 1:-1, 1:-1], 0.5, atol=1e-5)
    assert bool(mask[:, 1:-1, 1:-1].all())


def test_every_pixel_seen_nowhere_is_masked():
    pixels, z = reproject(plane_depth(5.0), INTRINSICS, forward_by(-0.0)[...].at[:, 0, 3].set(1e4))
    _, mask = projection_error(pixels, z, plane_depth(5.0))
    assert not bool(mask.any())


def test_both_depths_and_the_motion_receive_derivatives():
    def loss(depth_s, depth_t, translation):
        motion = rigid_from_axis_angle(jnp.zeros((1, 3), jnp.float32), translation)
        pixels, z = reproject(depth_s, INTRINSICS, motion)
        error, mask = projection_error(pixels, z, depth_t)
        return (error * mask).sum()

    ramp = plane_depth(5.0) + jnp.arange(16, dtype=jnp.float32) / 8
    gradients = jax.grad(loss, (0, 1, 2))(ramp, 1.1 * ramp, jnp.array([[0.2, 0.1, 0.3]], jnp.float32))
    assert all(bool(jnp.isfinite(g).all()) and float(jnp.abs(g).max()) > 0 for g in gradients)


def test_along_the_flow_a_sideways_motion_leaves_a_plane_as_it_is():
    depth = plane_depth(5.0)
    flow = rigid_flow(depth, INTRINSICS, jnp.eye(4, dtype=jnp.float32)[None].at[:, 0, 3].set(0.5))
    error, mask = flow_depth_error(flow, depth, depth)
    assert 0.5 < float(mask.mean()) < 1.0 or bool(mask.all())
    np.testing.assert_allclose(error[:, :, :13], 0, atol=1e-5)


def compared(scale: float, relative: bool) -> tuple[jax.Array, jax.Array]:
    """Mean error of a plane and of what the neighbour says of it, everything `scale` times as large."""
    pixels, z = reproject(plane_depth(5.0 * scale), INTRINSICS, forward_by(0.0))
    error, mask = projection_error(pixels, z, plane_depth(4.5 * scale), relative)
    return jnp.mean(error, where=mask)


def test_the_paper_s_form_is_a_length_and_the_relative_one_is_not():
    np.testing.assert_allclose(compared(0.1, relative=False), 0.05, rtol=1e-4)
    np.testing.assert_allclose(compared(10.0, relative=False), 5.0, rtol=1e-4)
    for scale in (0.1, 10.0):
        np.testing.assert_allclose(compared(scale, relative=True), 0.5 / 9.5, rtol=1e-4)


def test_shrinking_all_depth_lowers_the_paper_s_form_and_not_the_relative_one():
    def by_scale(relative):
        return float(jax.grad(lambda scale: compared(scale, relative))(1.0))

    assert by_scale(relative=False) > 0.4
    assert abs(by_scale(relative=True)) < 1e-6


def test_flattening_lowers_a_relative_error_as_much_as_the_relief_that_it_is_divided_by():
    rng = np.random.default_rng(0)
    depth, noise = np.exp(rng.normal(0, 0.3, (1, 64, 64))), np.exp(rng.normal(0, 0.05, (1, 64, 64)))
    everywhere = jnp.ones((1, 64, 64), bool)
    still = jnp.broadcast_to(jnp.stack(jnp.meshgrid(jnp.arange(64.0), jnp.arange(64.0)), -1), (1, 64, 64, 2))
    found = []
    for share in (1.0, 0.5):
        one, other = (jnp.asarray(d**share, jnp.float32) for d in (depth, depth * noise))
        error, mask = projection_error(still, one, other, relative=True)
        spread = relief(one, everywhere)[0]
        np.testing.assert_allclose(spread, 0.3 * share, rtol=0.03)
        np.testing.assert_allclose(relief(7 * one, everywhere)[0], spread, rtol=1e-3)
        found.append(float(jnp.mean(error, where=mask) / spread))
    np.testing.assert_allclose(found[1], found[0], rtol=0.02)


def test_a_plane_has_the_least_relief_and_what_does_not_count_adds_none():
    half = jnp.arange(16) < 8
    depth = jnp.where(half, 5.0, 50.0) * jnp.ones((1, 12, 1))
    value, slope = jax.value_and_grad(lambda d: relief(d, half & jnp.ones((1, 12, 1), bool))[0])(depth)
    np.testing.assert_allclose(value, LEAST_RELIEF, rtol=1e-3)
    assert bool(jnp.isfinite(slope).all())


def test_what_lies_behind_the_neighbour_s_camera_counts_in_no_relative_error():
    pixels, z = reproject(plane_depth(5.0), INTRINSICS, forward_by(7.0))
    error, mask = projection_error(pixels, z, plane_depth(2.0), relative=True)
    assert not bool(mask.any())
    assert bool(jnp.isfinite(error).all())
