"""Reflected borders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.geometry.padding import reflect_border


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (2, 5), (4, 3), (7, 9)])
def test_a_border_and_its_derivative_are_those_of_reflected_padding(size):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, *size, 3)), jnp.float32)
    ours, pull = jax.vjp(reflect_border, images)
    theirs, pull_theirs = jax.vjp(lambda x: jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect"), images)
    np.testing.assert_array_equal(ours, theirs)
    cotangent = jnp.asarray(rng.normal(size=ours.shape), jnp.float32)
    np.testing.assert_allclose(*pull(cotangent), *pull_theirs(cotangent), rtol=1e-6, atol=1e-6)
