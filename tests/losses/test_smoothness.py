"""Edge-aware smoothness of disparity, flow and brightness."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.losses.brightness import brightness_smoothness, leading_pairs, refined_target
from endodav_jax.losses.reduce import masked_mean_of_pairs
from endodav_jax.losses.smoothness import (
    edge_aware_differences,
    mean_normalised,
    pair_masks,
)
from tests.golden_cases import relative_error


def everywhere(shape):
    return pair_masks(jnp.ones(shape, bool))


@pytest.mark.golden
def test_edge_aware_smoothness_equals_the_published_program(golden):
    case = golden.arrays("losses")
    smoothness = masked_mean_of_pairs(
        *edge_aware_differences(case["disp"], case["target"]), everywhere(case["disp"].shape[:3])
    )
    assert relative_error(smoothness, case["edge_aware_smoothness"]) < 1e-5


@pytest.mark.golden
def test_flow_smoothness_equals_the_published_program(golden):
    case = golden.arrays("losses")
    smoothness = masked_mean_of_pairs(
        *edge_aware_differences(case["flow_yx"], case["target"]), everywhere(case["flow_yx"].shape[:3])
    )
    assert relative_error(smoothness, case["flow_smoothness"]) < 1e-5


@pytest.mark.golden
def test_brightness_smoothness_equals_the_published_program(golden):
    case = golden.arrays("losses")
    maps = brightness_smoothness(case["transform"], case["target"], case["pred"])
    smoothness = masked_mean_of_pairs(*maps, leading_pairs(case["mask"][..., 0]))
    assert relative_error(smoothness, case["brightness_smoothness"]) < 1e-5


def test_a_pair_counts_when_both_of_its_pixels_do():
    mask = jnp.array([[[True, True, False], [True, False, False]]])
    along_x, along_y = pair_masks(mask)
    np.testing.assert_array_equal(along_x, [[[True, False], [False, False]]])
    np.testing.assert_array_equal(along_y, [[[True, False, False]]])


def test_an_edge_of_the_image_excuses_an_edge_of_the_disparity():
    disparity = jnp.array([[[0, 1.0]] * 2], jnp.float32)[..., None]
    flat, edge = (edge_aware_differences(disparity, scale * disparity)[0] for scale in (0.0, 3.0))
    np.testing.assert_allclose(flat, 1)
    np.testing.assert_allclose(edge, np.exp(-3), rtol=1e-6)


def test_normalised_disparity_forgets_scale_and_what_is_masked():
    disparity = jnp.asarray(np.random.default_rng(0).uniform(1, 2, (2, 4, 5)), jnp.float32)
    mask = jnp.ones((2, 4, 5), bool).at[:, 0].set(False)
    normalised = mean_normalised(disparity, mask)
    np.testing.assert_allclose(normalised[:, 1:].mean((1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(mean_normalised(7 * disparity, mask), normalised, rtol=1e-5)
    changed = mean_normalised(disparity.at[:, 0].set(100), mask)
    np.testing.assert_array_equal(changed[:, 1:], normalised[:, 1:])


def test_derivatives_are_finite_at_zero_disparity():
    gradient = jax.grad(lambda d: mean_normalised(d, jnp.ones((1, 4, 4), bool)).sum())(jnp.zeros((1, 4, 4)))
    assert bool(jnp.isfinite(gradient).all())


def test_refined_target_stays_an_image_and_changes_only_where_visible():
    frame = jnp.full((1, 2, 2, 3), 0.75, jnp.float32)
    occlusion = jnp.array([[[1, 0], [1, 0]]], jnp.float32)
    refined = refined_target(frame, jnp.full_like(frame, 0.5), occlusion)
    np.testing.assert_array_equal(refined[0, 0, :, 0], [1, 0.75])
