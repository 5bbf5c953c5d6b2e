"""Frames that went through a codec: as many, as large, nearly the same, the worse the quality the less."""

import cv2
import numpy as np
import pytest

from endodav_jax.video.round_trip import RoundTrip


def moving(count: int) -> list[np.ndarray]:
    """Frames of 63x81 that slide over a soft random grey picture."""
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 1)).astype(np.uint8).repeat(3, 2)
    scene = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 30, 220, cv2.NORM_MINMAX)
    return [scene[i // 2 : i // 2 + 63, i : i + 81] for i in range(count)]


def returned(frames: list[np.ndarray], codec: str, quality: int) -> list[np.ndarray]:
    trip = RoundTrip(codec, quality)
    return [back for frame in frames for back in trip.send(frame)] + trip.rest()


def loss(frames: list[np.ndarray], back: list[np.ndarray]) -> float:
    return float(np.mean([np.abs(a.astype(float) - b).mean() for a, b in zip(frames, back, strict=True)]))


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_every_frame_of_any_size_comes_back_in_its_place(codec):
    frames = moving(24)
    back = returned(frames, codec, 90)
    assert {frame.shape for frame in back} == {(63, 81, 3)}
    assert loss(frames, back) < 0.5 * loss(frames[:-1], back[1:])  # a neighbour differs by 1.1 pixels


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_quality_decides_the_loss(codec):
    frames = moving(8)
    losses = [loss(frames, returned(frames, codec, quality)) for quality in (1, 50, 100)]
    assert losses[0] > 1.2 * losses[1] > 1.2 * losses[2] > 0


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_nothing_is_left_to_chance(codec):
    noise = np.random.default_rng(0).normal(128, 60, (10, 64, 80, 3))
    frames = [cv2.GaussianBlur(frame, (0, 0), 1).clip(0, 255).astype(np.uint8) for frame in noise]
    assert len({np.stack(returned(frames, codec, 90)).tobytes() for _ in range(60)}) == 1


def test_nothing_sent_is_nothing_returned():
    assert RoundTrip("h264", 50).rest() == []
