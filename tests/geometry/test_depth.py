"""Depth of disparity."""

import numpy as np
import pytest

from endodav_jax.geometry.depth import depth_from_disparity, disparity_from_depth
from tests.golden_cases import relative_error


def test_the_ends_of_disparity_are_the_ends_of_depth():
    depth = depth_from_disparity(np.array([0.0, 1.0], np.float32))
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, [150.0, 0.1], rtol=1e-6)


def test_the_disparity_of_a_depth_is_the_one_it_came_from():
    disparity = np.linspace(0, 1.5, 7)
    np.testing.assert_allclose(disparity_from_depth(depth_from_disparity(disparity)), disparity, atol=1e-12)
    assert disparity_from_depth(np.array(200.0)) < 0


@pytest.mark.golden
def test_depth_is_that_of_the_published_program(golden):
    arrays = golden.arrays("geometry")
    assert relative_error(depth_from_disparity(arrays["disp_in"]), arrays["disp_depth"]) < 1e-5
