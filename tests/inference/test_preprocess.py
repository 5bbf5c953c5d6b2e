"""A frame on its way into the network and its disparity on the way out."""

import re

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.geometry.resize import lower_bound_shape
from endodav_jax.inference import programs
from endodav_jax.inference.preprocess import to_frame_size
from tests.compilations import compilations
from tests.golden_cases import relative_error


@pytest.mark.golden
def test_network_input_is_the_published_one(golden):
    cases = golden.arrays("preprocessing")
    numbers = [match[1] for key in cases if (match := re.fullmatch(r"network_input_(\d+)", key))]
    assert numbers
    for number in numbers:
        expected = cases[f"network_input_{number}"]
        value = programs.prepare(cases[f"image_{number}"][None], expected.shape[:2])[0]
        assert value.dtype == jnp.float32
        assert relative_error(value, expected) < 1e-5, number


@pytest.mark.parametrize("shape", [(37, 53), (300, 211), (56, 70), (20, 60)])
def test_bicubic_agrees_with_opencv_and_then_bilinear_with_numpy(shape):
    frame = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    height, width = lower_bound_shape(*shape, (56, 70))
    resized = cv2.resize(frame.astype(np.float32) / 255, (width, height), interpolation=cv2.INTER_CUBIC)
    rows = interpolation_matrix(height, 56)
    columns = interpolation_matrix(width, 70)
    expected = np.einsum("ih,jw,hwc->ijc", rows, columns, resized)
    np.testing.assert_allclose(programs.prepare(frame[None], (56, 70))[0], expected, atol=1e-5)


def interpolation_matrix(size_in: int, size_out: int) -> np.ndarray:
    """Linear interpolation between corner centres, [size_out, size_in]."""
    positions = np.linspace(0, size_in - 1, size_out)
    return np.stack([np.interp(positions, np.arange(size_in), unit) for unit in np.eye(size_in)], axis=1)


def test_disparity_keeps_its_corners_and_its_linear_ramps():
    ramp = np.add.outer(np.linspace(0, 1, 14, dtype=np.float32), np.linspace(2, 5, 28, dtype=np.float32))
    value = np.asarray(to_frame_size(jnp.asarray(ramp[None]), (50, 41))[0])
    expected = np.add.outer(np.linspace(0, 1, 50), np.linspace(2, 5, 41))
    np.testing.assert_allclose(value, expected, atol=2e-6)


def test_one_program_serves_every_frame_of_a_size():
    with compilations() as compiled:
        for seed in range(3):
            programs.prepare(np.random.default_rng(seed).integers(0, 256, (2, 41, 51, 3), np.uint8), (28, 28))
    assert len(compiled) == 1
