"""Convolution in the orders and sizes that CPUs are fast at."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.models.convolution import convolve

OPTIONS = {
    "dimension_numbers": ("NHWC", "HWIO", "NHWC"),
    "precision": jax.lax.Precision.HIGHEST,
}


CASES = [
    (size, stride, pad)
    for size in ((2, 3), (1, 1), (2, 2), (4, 5), (6, 2), (9, 9), (8, 11))
    for stride, pad in ((1, 1), (2, 1), (1, 0), (2, 0))
    if min(size) + 2 * pad >= 3  # else no window fits
]


# Large for a CPU's cache: windows laid out, one frame at a time; few outputs; derivatives frame by frame.
LARGE = [(16, 16, 1, 1, 3), (16, 3, 1, 0, 3), (2, 16, 1, 1, 3), (6, 24, 2, 3, 7), (48, 33, 1, 0, 3), (48, 48, 2, 1, 3)]


@pytest.mark.parametrize(("n_in", "n_out", "stride", "pad", "k"), LARGE)
def test_large_images_give_the_same_frame_by_frame(n_in, n_out, stride, pad, k):
    rng = np.random.default_rng(1)
    images = jnp.asarray(rng.normal(size=(3, 144, 200, n_in)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(k, k, n_in, n_out)) / k, jnp.float32)
    check(images, kernel, stride, pad, rng, 1e-5)


@pytest.mark.parametrize("n_out", [2, 5])
@pytest.mark.parametrize(("size", "stride", "pad"), CASES)
def test_values_and_derivatives_are_those_of_the_library(size, stride, pad, n_out):
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(2, *size, 4)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 4, n_out)), jnp.float32)
    check(images, kernel, stride, pad, rng, 1e-5)


def check(images, kernel, stride, pad, rng, tolerance):
    """Values and both derivatives against the library's, errors relative to the largest number."""
    arguments = ((stride, stride), ((pad, pad), (pad, pad)))
    ours, pull = jax.vjp(lambda x, k: convolve(x, k, *arguments, **OPTIONS), images, kernel)
    theirs, pull_theirs = jax.vjp(
        lambda x, k: jax.lax.conv_general_dilated(x, k, *arguments, **OPTIONS), images, kernel
    )
    cotangent = jnp.asarray(rng.normal(size=ours.shape), jnp.float32)
    for mine, expected in zip((ours, *pull(cotangent)), (theirs, *pull_theirs(cotangent)), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=tolerance * float(jnp.abs(expected).max()))
