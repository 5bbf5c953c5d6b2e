"""Bilinear sampling: values and derivatives, also on and beyond the border."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from jaxtyping import TypeCheckError

from endodav_jax.geometry.sampling import pixel_grid, sample_bilinear
from tests.golden_cases import relative_error

PADDINGS = ("border", "zeros")


def random_image(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(0, 1, shape), jnp.float32)


@pytest.mark.golden
@pytest.mark.parametrize("padding", PADDINGS)
def test_samples_like_the_published_program(golden, padding):
    case = golden.arrays("geometry")
    sampled = sample_bilinear(jnp.asarray(case["image"]), jnp.asarray(case["pixels"]), padding)
    assert relative_error(sampled, case[f"sampled_{padding}"]) < 1e-5


@pytest.mark.parametrize("padding", PADDINGS)
def test_sampling_at_pixel_centres_returns_the_image(padding):
    image = random_image((2, 5, 7, 3))
    grid = jnp.broadcast_to(pixel_grid(5, 7), (2, 5, 7, 2))
    np.testing.assert_array_equal(sample_bilinear(image, grid, padding), image)


def test_border_repeats_the_nearest_pixel_and_zeros_fade_out():
    image = random_image((1, 4, 6, 2))
    outside = jnp.array([[[[-3.0, 1.0], [9.0, 2.0], [2.0, -0.25], [-1e9, 3e9]]]], jnp.float32)
    border, zeros = (sample_bilinear(image, outside, padding)[0, 0] for padding in PADDINGS)
    np.testing.assert_allclose(border, [image[0, 1, 0], image[0, 2, 5], image[0, 0, 2], image[0, 3, 0]], rtol=1e-6)
    np.testing.assert_allclose(zeros, [[0, 0], [0, 0], 0.75 * image[0, 0, 2], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("padding", PADDINGS)
def test_derivatives_equal_finite_differences_inside(padding):
    image = random_image((1, 5, 6, 3))
    inside = np.random.default_rng(1).integers(0, 4, (1, 8, 3, 2)) + np.random.default_rng(2).uniform(
        0.2, 0.8, (1, 8, 3, 2)
    )
    pixels = jnp.asarray(inside, jnp.float32)
    weight = random_image((1, 8, 3, 3), 3)

    def total(image, pixels):
        return jnp.sum(weight * sample_bilinear(image, pixels, padding))

    # Linear in the image and a product of two linear functions of x and y: central differences are exact.
    for function, point in ((lambda i: total(i, pixels), image), (lambda p: total(image, p), pixels)):
        check_grads(function, (point,), order=1, modes=["rev"], eps=0.02, atol=1e-3, rtol=1e-3)


def test_coordinates_on_or_beyond_the_border_have_no_derivative():
    image = random_image((1, 4, 4, 1))
    pixels = jnp.array([[[[0, 1.5], [3, 1.5], [-0.5, 1.5], [3.5, 1.5]]]], jnp.float32)
    d_pixels = jax.grad(lambda p: sample_bilinear(image, p, "border").sum())(pixels)
    np.testing.assert_array_equal(d_pixels[..., 0], 0)
    assert bool((d_pixels[..., 1] != 0).all())


def test_zero_padding_has_a_derivative_across_the_edge_only():
    image = random_image((1, 4, 4, 1)) + 1
    pixels = jnp.array([[[[-0.5, 1.0], [-1.0, 1.0], [-1.5, 1.0], [-40, 1.0], [3.5, 1.0], [4.5, 1.0]]]], jnp.float32)
    d_x = jax.grad(lambda p: sample_bilinear(image, p, "zeros").sum())(pixels)[0, 0, :, 0]
    edge_left, edge_right = image[0, 1, 0, 0], image[0, 1, 3, 0]
    np.testing.assert_allclose(d_x, [edge_left, edge_left, 0, 0, -edge_right, 0], rtol=1e-6)


@pytest.mark.parametrize("padding", PADDINGS)
def test_huge_coordinates_keep_values_and_derivatives_finite(padding):
    image = random_image((1, 4, 4, 1))
    pixels = jnp.array([[[[1e30, -1e30], [-3e38, 2.0]]]], jnp.float32)
    value, pullback = jax.vjp(lambda i, p: sample_bilinear(i, p, padding), image, pixels)
    leaves = [value, *pullback(jnp.ones_like(value))]
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in leaves)


def test_a_fixed_image_costs_no_scatter():
    image, pixels = random_image((2, 8, 8, 3)), jnp.full((2, 8, 8, 2), 2.5, jnp.float32)

    def loss(image, pixels):
        return sample_bilinear(image, pixels, "border").sum()

    def loops(argument):
        text = jax.jit(jax.grad(loss, argument)).lower(image, pixels).compile().as_text()
        return re.findall(r"\b(?:scatter|while)\(", text)  # on CPU a scatter is compiled to a loop

    assert loops(0)
    assert not loops(1)


def test_an_unknown_padding_is_refused():
    # By the function, or by the check of its signature before it.
    with pytest.raises((ValueError, TypeCheckError), match="reflect"):
        sample_bilinear(random_image((1, 2, 2, 1)), jnp.zeros((1, 1, 1, 2)), "reflect")
