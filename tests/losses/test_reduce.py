"""Masked means, alone and shared between devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.losses.reduce import masked_mean


def test_only_pixels_of_the_mask_count():
    values = jnp.array([1, 2, 3, 40], jnp.float32)
    np.testing.assert_allclose(masked_mean(values, jnp.array([True, False, True, False])), 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_masked_value_changes_neither_the_mean_nor_its_derivatives_by_the_values(bad):
    mask = jnp.array([True, False])
    value, gradient = jax.value_and_grad(masked_mean)(jnp.array([3, bad], jnp.float32), mask)
    assert float(value) == 3
    np.testing.assert_array_equal(gradient, [1, 0])


def test_masked_inputs_of_a_function_with_an_infinite_derivative_are_for_the_caller_to_replace():
    x, mask = jnp.array([4, 0], jnp.float32), jnp.array([True, False])
    value, gradient = jax.value_and_grad(lambda x: masked_mean(jnp.sqrt(x), mask))(x)
    assert float(value) == 2
    assert np.isnan(gradient[1])  # 0 times infinity, which no mean of the result can prevent
    value, gradient = jax.value_and_grad(lambda x: masked_mean(jnp.sqrt(jnp.where(mask, x, 1.0)), mask))(x)
    assert float(value) == 2
    np.testing.assert_array_equal(gradient, [0.25, 0])


def test_an_empty_mask_gives_zero_and_no_derivative():
    value, gradient = jax.value_and_grad(masked_mean)(jnp.ones(3, jnp.float32), jnp.zeros(3, bool))
    assert float(value) == 0
    np.testing.assert_array_equal(gradient, 0)


def test_the_mean_over_devices_is_that_of_the_whole_batch():
    rng = np.random.default_rng(0)
    values = jnp.asarray(rng.uniform(size=(3, 10)), jnp.float32)
    mask = jnp.asarray(rng.uniform(size=(3, 10)) < [[0.2], [0.5], [0.9]])  # devices count unlike numbers of pixels
    whole, whole_gradient = jax.value_and_grad(masked_mean)(values, mask)
    share = jax.value_and_grad(lambda v, m: masked_mean(v, m, "data"))
    shares, gradients = jax.vmap(share, axis_name="data")(values, mask)
    np.testing.assert_allclose(shares.mean(), whole, rtol=1e-6)
    np.testing.assert_allclose(gradients / 3, whole_gradient, rtol=1e-6)
