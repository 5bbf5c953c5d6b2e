"""SSIM, photometric error and window means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from endodav_jax.losses.photometric import photometric_error, ssim_dissimilarity
from endodav_jax.losses.windows import mean3x3
from tests.golden_cases import relative_error


def images(shape=(2, 6, 7, 3)):
    values = np.random.default_rng(0).uniform(0, 1, (2, *shape))
    return jnp.asarray(values[0], jnp.float32), jnp.asarray(values[1], jnp.float32)


@pytest.mark.golden
def test_ssim_equals_the_published_program(golden):
    case = golden.arrays("losses")
    assert relative_error(ssim_dissimilarity(case["pred"], case["target"]), case["ssim_dissimilarity"]) < 1e-4


def test_windows_are_means_of_reflected_neighbourhoods():
    image = np.asarray(images()[0], np.float64)
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    expected = sum(padded[:, i : i + 6, j : j + 7] for i in range(3) for j in range(3)) / 9
    np.testing.assert_allclose(mean3x3(jnp.asarray(image, jnp.float32)), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 4, 4, 1), (2, 5, 4, 2), (1, 9, 6, 3)])
def test_the_written_derivative_of_windows_is_the_transposed_map(shape):
    image, cotangent = images(shape)
    _, pullback = jax.vjp(mean3x3, image)
    np.testing.assert_allclose(jnp.vdot(cotangent, mean3x3(image)), jnp.vdot(pullback(cotangent)[0], image), rtol=1e-5)
    check_grads(mean3x3, (image,), order=1, modes=["rev"], eps=0.5, rtol=1e-3)


def test_images_too_small_for_windows_are_refused():
    with pytest.raises(ValueError, match="3x8"):
        mean3x3(jnp.zeros((1, 3, 8, 1)))


def test_equal_images_have_no_error_and_unequal_ones_at_most_one():
    a, b = images()
    np.testing.assert_allclose(photometric_error(a, a, 0.85), 0, atol=1e-6)
    error = photometric_error(a, b, 0.85)
    assert error.shape == a.shape[:3]
    assert 0 < float(error.min()) < float(error.max()) <= 1


def test_weight_mixes_ssim_and_absolute_difference():
    a, b = images()
    np.testing.assert_allclose(photometric_error(a, b, 0.0), jnp.abs(a - b).mean(-1), rtol=1e-6)
    np.testing.assert_allclose(photometric_error(a, b, 1.0), ssim_dissimilarity(a, b).mean(-1), rtol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_derivatives_are_finite_on_constant_images(level):
    a = jnp.full((1, 6, 6, 3), level, jnp.float32)
    for b in (a, jnp.zeros_like(a)):
        gradients = jax.grad(lambda x, y: photometric_error(x, y, 0.85).sum(), (0, 1))(a, b)
        assert all(bool(jnp.isfinite(gradient).all()) for gradient in gradients)
