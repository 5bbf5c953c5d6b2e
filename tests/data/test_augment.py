"""Colour jitter against an independent reference, written in NumPy and colorsys from ColorJitter's documentation."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.data.augment import adjust_hue, colour_jitter, to_float
from endodav_jax.data.contract import NO_JITTER

LUMA = np.array([0.2989, 0.587, 0.114])


def reference(frames: np.ndarray, strengths, order) -> np.ndarray:
    """Adjusts [T, H, W, 3] in float64, one frame and one pixel at a time."""
    frames = frames.astype(np.float64)
    for which in order:
        strength = strengths[which]
        if which == 0:
            frames = np.clip(frames * strength, 0, 1)
        elif which == 1:
            means = np.array([(frame @ LUMA).mean() for frame in frames])[:, None, None, None]
            frames = np.clip(strength * frames + (1 - strength) * means, 0, 1)
        elif which == 2:
            frames = np.clip(strength * frames + (1 - strength) * (frames @ LUMA)[..., None], 0, 1)
        else:
            turned = [_turn(pixel, strength) for pixel in frames.reshape(-1, 3)]
            frames = np.array(turned).reshape(frames.shape)
    return frames


def _turn(pixel, shift):
    hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
    return colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Two clips of three small frames, with greys, black, white and pure colours among them."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (2, 3, 6, 5, 3), np.uint8)
    values[:, :, 0] = values[:, :, 0, :, :1]
    values[:, :, 1, 0] = 0
    values[:, :, 1, 1] = 255
    values[:, :, 1, 2] = (255, 0, 0)
    values[:, :, 1, 3] = (0, 255, 255)
    return values


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1)])
def test_jitter_agrees_with_the_reference_in_every_order(frames, order):
    strengths = np.float32([[0.83, 1.17, 0.9, -0.08], [1.2, 0.8, 1.2, 0.1]])
    orders = np.int32([order, order[::-1]])
    found = np.asarray(jax.jit(colour_jitter)(to_float(frames), strengths, orders))
    for clip in range(2):
        expected = reference(frames[clip] / 255, strengths[clip].astype(np.float64), orders[clip])
        np.testing.assert_allclose(found[clip], expected, atol=2e-6)


@pytest.mark.parametrize("shift", [-0.5, -0.1, -1e-3, 0.0, 0.05, 0.5])
def test_hue_agrees_with_colorsys_and_stays_within_range(frames, shift):
    found = np.asarray(adjust_hue(to_float(frames), jnp.float32(shift)))
    expected = np.array([_turn(pixel, shift) for pixel in (frames / 255).reshape(-1, 3)]).reshape(frames.shape)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert found.min() >= -1e-6
    assert found.max() <= 1 + 1e-6


def test_clips_without_jitter_come_back_bit_by_bit(frames):
    plain = to_float(frames)
    jitter = np.tile(np.float32(NO_JITTER), (2, 1))
    jitter[1] = (0.9, 1.1, 1.2, 0.1)
    orders = np.tile(np.int32([3, 0, 1, 2]), (2, 1))
    found = np.asarray(colour_jitter(plain, jitter, orders))
    np.testing.assert_array_equal(found[0], plain[0])
    assert np.abs(found[1] - plain[1]).max() > 0.05


def test_all_frames_of_a_clip_get_the_same_adjustment(frames):
    still = np.repeat(frames[:, :1], 3, axis=1)
    strengths = np.float32([[0.83, 1.17, 0.9, -0.08], [1.2, 0.8, 1.2, 0.1]])
    found = np.asarray(colour_jitter(to_float(still), strengths, np.tile(np.int32([3, 1, 0, 2]), (2, 1))))
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    np.testing.assert_array_equal(found[:, 0], found[:, 2])


def test_frames_become_float32_in_the_unit_range():
    found = to_float(jnp.arange(256, dtype=jnp.uint8))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, np.arange(256) / 255, rtol=1e-6)
