"""The training pyramid against the published loader's."""

import jax
import numpy as np
import pytest

from endodav_jax.data.pyramid import pyramid
from endodav_jax.geometry.resize import resize_antialias
from tests.golden_cases import relative_error


@pytest.mark.golden
def test_every_scale_agrees_with_the_published_pyramid(golden):
    arrays = golden.arrays("preprocessing")
    expected = [
        arrays[f"train_scale_{scale}"] for scale in range(sum(key.startswith("train_scale_") for key in arrays))
    ]
    full = resize_antialias(arrays["train_frames"], expected[0].shape[1:3])
    levels = jax.jit(pyramid, static_argnums=1)(full, len(expected))
    assert len(levels) == len(expected)
    for level, wanted in zip(levels, expected, strict=True):
        assert relative_error(level, wanted) < 1e-5


def test_sizes_are_halved_and_rounded_down():
    levels = pyramid(np.zeros((1, 2, 50, 71, 3), np.float32))
    assert [level.shape[2:4] for level in levels] == [(50, 71), (25, 35), (12, 17), (6, 8)]


def test_the_mean_of_an_even_picture_is_kept():
    frames = np.full((2, 16, 24, 3), 0.37, np.float32)
    for level in pyramid(frames):
        np.testing.assert_allclose(level, 0.37, rtol=1e-6)
