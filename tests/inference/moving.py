"""A video for tests."""

import numpy as np


def moving_frames(count: int, height: int, width: int) -> np.ndarray:
    """A textured video, uint8 [count, height, width, 3], that moves by a pixel a frame."""
    texture = np.random.default_rng(1).integers(0, 256, (height, width + count, 3))
    smooth = (texture + np.roll(texture, 1, 0) + np.roll(texture, 1, 1) + np.roll(texture, (1, 1), (0, 1))) // 4
    return np.stack([smooth[:, i : i + width] for i in range(count)]).astype(np.uint8)
