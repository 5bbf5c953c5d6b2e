"""Resizing follows PyTorch's and OpenCV's conventions, forward and backward."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.geometry.resize import (
    halve_align_corners,
    lower_bound_shape,
    resize_align_corners,
    resize_antialias,
    resize_cubic,
    resize_nearest,
    resize_position_grid,
    upsample_half_pixel,
)
from tests.golden_cases import relative_error

EXACT = 1e-5


def _plain_align_corners(image, shape):
    """align_corners bilinear written with `map_coordinates`, whose gradient JAX derives."""
    height, width = image.shape[1:3]
    rows = jnp.linspace(0.0, height - 1.0, shape[0]) if shape[0] > 1 else jnp.zeros(1)
    columns = jnp.linspace(0.0, width - 1.0, shape[1]) if shape[1] > 1 else jnp.zeros(1)
    grid = jnp.meshgrid(rows, columns, indexing="ij")

    def sample(plane):
        return jax.scipy.ndimage.map_coordinates(plane, grid, order=1, mode="nearest")

    return jax.vmap(jax.vmap(sample), (0,), 0)(image.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 11, 8, 3), np.float32)


@pytest.mark.parametrize("shape", [(22, 16), (5, 4), (11, 8), (1, 1), (17, 3)])
def test_align_corners_samples_between_the_corner_centres(image, shape):
    assert relative_error(resize_align_corners(image, shape), _plain_align_corners(image, shape)) < EXACT


@pytest.mark.parametrize("shape", [(22, 16), (5, 4), (17, 3)])
def test_the_gathered_gradient_is_the_one_autodiff_derives(image, shape):
    weights = np.random.default_rng(1).standard_normal((2, *shape, 3), np.float32)
    ours = jax.grad(lambda x: (weights * resize_align_corners(x, shape)).sum())(image)
    derived = jax.grad(lambda x: (weights * _plain_align_corners(x, shape)).sum())(image)
    assert relative_error(ours, derived) < EXACT


def test_every_rule_passes_the_gradient_of_a_linear_map(image):
    rules = [upsample_half_pixel, lambda x: resize_antialias(x, (5, 6)), lambda x: resize_cubic(x, (7, 13))]
    rng = np.random.default_rng(2)
    for rule in rules:
        result, pullback = jax.vjp(rule, image)
        cotangent = rng.standard_normal(result.shape, np.float32)
        direction = rng.standard_normal(image.shape, np.float32)
        (gradient,) = pullback(cotangent)
        np.testing.assert_allclose((gradient * direction).sum(), (cotangent * rule(direction)).sum(), rtol=1e-4)


def test_halving_rounds_odd_sizes_down_and_keeps_the_corners(image):
    half = halve_align_corners(image)
    assert half.shape == (2, 5, 4, 3)
    np.testing.assert_allclose(half[:, [0, 0, -1, -1], [0, -1, 0, -1]], image[:, [0, 0, -1, -1], [0, -1, 0, -1]], 1e-6)


def test_half_pixel_upsampling_agrees_with_jax(image):
    expected = jax.image.resize(image, (2, 22, 16, 3), "linear")
    assert relative_error(upsample_half_pixel(image), expected) < EXACT


@pytest.mark.parametrize("shape", [(5, 4), (7, 6)])
def test_antialiasing_agrees_with_jax(image, shape):
    expected = jax.image.resize(image, (2, *shape, 3), "linear", antialias=True)
    assert relative_error(resize_antialias(image, shape), expected) < EXACT


def test_position_embeddings_are_sampled_a_tenth_of_a_patch_apart_from_the_plain_way():
    grid = np.random.default_rng(3).standard_normal((37, 37, 5), np.float32)
    scale = jnp.array([16.1 / 37, 20.1 / 37], jnp.float32)
    expected = jax.image.scale_and_translate(
        grid, (16, 20, 5), (0, 1), scale, jnp.zeros(2), jax.image.ResizeMethod.CUBIC_PYTORCH, antialias=False
    )
    ours = resize_position_grid(grid, (16, 20))
    assert relative_error(ours, expected) < 1e-4  # JAX computes the sampling positions in float32
    assert relative_error(resize_cubic(grid, (16, 20)), ours) > 0.01


def test_resizing_to_the_same_size_changes_nothing(image):
    for rule in (resize_align_corners, resize_antialias, resize_cubic):
        np.testing.assert_array_equal(rule(image, image.shape[1:3]), image)


def test_bfloat16_images_are_resized_in_float32_and_given_back_as_they_came(image):
    low = jnp.asarray(image, jnp.bfloat16)
    result = resize_align_corners(low, (22, 16))
    assert result.dtype == jnp.bfloat16
    np.testing.assert_array_equal(result, resize_align_corners(low.astype(jnp.float32), (22, 16)).astype(jnp.bfloat16))


@pytest.mark.parametrize(
    ("frame", "target", "expected"),
    [((64, 80), (56, 70), (56, 70)), ((90, 160), (56, 70), (56, 98)), ((1024, 1280), (224, 280), (224, 280)),
     ((480, 640), (224, 280), (224, 294)), ((300, 100), (224, 280), (840, 280))],
)  # fmt: skip
def test_the_inference_size_reaches_both_sides_in_multiples_of_a_patch(frame, target, expected):
    assert lower_bound_shape(*frame, target) == expected


@pytest.mark.golden
def test_inference_resizing_is_opencvs(golden):
    case = golden.arrays("preprocessing")
    count = sum(name.startswith("image_") for name in case)
    assert count
    for i in range(count):
        frame, expected = case[f"image_{i}"], case[f"resized_{i}"]
        resized = resize_cubic(frame.astype(np.float32) / 255, expected.shape[:2])
        assert relative_error(resized, expected) < EXACT
        network_input = case[f"network_input_{i}"]
        assert relative_error(resize_align_corners(resized, network_input.shape[:2]), network_input) < EXACT


@pytest.mark.golden
def test_the_training_pyramid_is_pytorchs(golden):
    case = golden.arrays("preprocessing")
    scale = case["train_frames"]
    for i in range(sum(name.startswith("train_scale_") for name in case)):
        scale = resize_antialias(scale, case[f"train_scale_{i}"].shape[1:3])
        assert relative_error(scale, case[f"train_scale_{i}"]) < EXACT


@pytest.mark.parametrize("rule", ["align_corners", "half_pixel"])
@pytest.mark.parametrize("kind", [np, jnp])
def test_nearest_takes_only_values_that_are_there_and_is_centred(rule, kind):
    image = kind.arange(2 * 15 * 21, dtype=np.float32).reshape(2, 15, 21)
    found = resize_nearest(image, (4, 8), rule)
    assert type(found) is type(image)
    assert found.shape == (2, 4, 8)
    assert np.isin(found, image).all()
    np.testing.assert_array_equal(found[:, ::-1, ::-1], resize_nearest(image[:, ::-1, ::-1], (4, 8), rule))
    np.testing.assert_array_equal(resize_nearest(image, (15, 21), rule), image)


def test_nearest_by_corners_keeps_corners_and_by_areas_takes_middles():
    row = np.arange(9)[None]
    assert resize_nearest(row, (1, 3), "align_corners").tolist() == [[0, 4, 8]]
    assert resize_nearest(row, (1, 3), "half_pixel").tolist() == [[1, 4, 7]]
