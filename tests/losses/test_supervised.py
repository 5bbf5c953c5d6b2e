"""The supervised losses see shape and change, not scale and shift."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.losses import supervised

RNG = np.random.default_rng(0)
DEPTH = jnp.asarray(RNG.uniform(10, 90, (2, 3, 16, 20)), jnp.float32)
VALID = jnp.asarray(RNG.random(DEPTH.shape) < 0.8)


def test_a_prediction_right_up_to_scale_and_shift_is_perfect():
    target = supervised.normalised_disparity(DEPTH, VALID)
    aligned = supervised.align_clips(0.3 * target + 2.0, target, VALID)
    assert supervised.absolute_error(aligned, target, VALID) < 1e-5
    assert supervised.gradient_matching(aligned - target, VALID) < 1e-5
    assert supervised.temporal_gradient_matching(aligned, target, VALID) < 1e-5


def test_each_clip_has_one_scale_and_shift_for_all_its_frames():
    target = supervised.normalised_disparity(DEPTH, VALID)
    flicker = target + jnp.asarray([0.0, 1.0, 0.0], jnp.float32)[:, None, None]
    aligned = supervised.align_clips(flicker, target, VALID)
    assert supervised.absolute_error(aligned, target, VALID) > 0.1


def test_the_target_has_mean_zero_and_unit_mean_deviation_over_valid_pixels():
    target = np.asarray(supervised.normalised_disparity(DEPTH, VALID))
    for clip, valid in zip(target, np.asarray(VALID), strict=True):
        assert abs(clip[valid].mean()) < 1e-5
        assert np.abs(clip[valid]).mean() == pytest.approx(1.0, rel=1e-5)


def test_the_anchor_is_zero_at_infinity_and_one_on_average():
    depth = DEPTH.at[0, 0, 0, 0].set(1e9)
    valid = VALID.at[0, 0, 0, 0].set(True)
    anchor = np.asarray(supervised.anchor_disparity(depth, valid))
    assert anchor[0, 0, 0, 0] < 1e-6
    assert anchor[0][np.asarray(valid)[0]].mean() == pytest.approx(1.0, rel=1e-5)


def test_temporal_gradients_count_only_where_the_truth_stands_still():
    target = jnp.zeros((1, 2, 4, 4), jnp.float32).at[:, 1, :2].set(1.0)  # the upper half moves
    predicted = jnp.zeros_like(target).at[:, 1].set(0.5)
    everywhere = jnp.ones(target.shape, bool)
    assert supervised.temporal_gradient_matching(predicted, target, everywhere) == pytest.approx(0.5)


def test_invalid_pixels_reach_neither_value_nor_gradient():
    def loss(predicted, depth):
        target = supervised.normalised_disparity(depth, VALID)
        aligned = supervised.align_clips(predicted, target, VALID)
        return supervised.absolute_error(aligned, target, VALID) + supervised.gradient_matching(aligned - target, VALID)

    predicted = jnp.asarray(RNG.random(DEPTH.shape), jnp.float32)
    spoiled = jnp.where(VALID, DEPTH, 0.0)
    assert loss(predicted, spoiled) == loss(predicted, DEPTH)
    grad = jax.grad(loss)(predicted, spoiled)
    assert jnp.isfinite(grad).all()
    assert not grad[~VALID].any()


@pytest.mark.parametrize("predicted", [0.0, 1.0])
def test_a_constant_prediction_and_an_empty_clip_have_finite_gradients(predicted):
    def loss(predicted, valid):
        target = supervised.normalised_disparity(DEPTH, valid)
        aligned = supervised.align_clips(predicted, target, valid)
        return supervised.absolute_error(aligned, target, valid)

    for valid in (VALID, jnp.zeros_like(VALID)):
        grad = jax.grad(loss)(jnp.full(DEPTH.shape, predicted, jnp.float32), valid)
        assert jnp.isfinite(grad).all()
