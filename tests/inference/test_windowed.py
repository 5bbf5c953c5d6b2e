"""Every slot of every window gets the features of its frame, however many frames and windows are processed at once."""

import numpy as np
import pytest

from endodav_jax.inference.network import Network
from endodav_jax.inference.windowed import Batching, run_windows
from tests.inference.networks import small_config

FRAMES = 100


class Recognising(Network):
    """A network whose feature of a frame is its brightness, and whose disparity is that feature."""

    config = small_config("endodav")

    def empty_bank(self, rows):
        return (np.full(rows, np.nan),)

    def encode_into(self, bank, images, row):
        values = np.asarray(images, np.float32).mean((1, 2, 3))
        assert row + len(values) <= len(bank[0])
        bank[0][row : row + len(values)] = values
        return bank

    def select(self, bank, rows):
        return (bank[0][rows],)

    def carry(self, bank, rows):
        bank[0][: len(rows)] = bank[0][rows]
        return bank

    def coarse(self, features):
        return features[0].copy()

    def fine(self, path_3, features, first, count):
        np.testing.assert_array_equal(path_3, features[0])
        values = features[0][first : first + count]
        return np.broadcast_to(values[:, None, None], (count, *self.config.image_shape)).astype(np.float32)


@pytest.fixture(scope="module")
def frames():
    return [np.full((8, 8, 3), number, np.uint8) for number in range(FRAMES)]


@pytest.mark.parametrize("rule", ["endodav", "vda", "none"])
@pytest.mark.parametrize("windows", [1, 2, 3])
@pytest.mark.parametrize("encoded", [1, 2, 3, 4, 5, 7, 8, 16, 22, 27, 32])
def test_every_slot_gets_its_frame(frames, encoded, windows, rule):
    batching = Batching(encoded=encoded, decoded=32, windows=windows)
    slots = 0
    for window, disparities in run_windows(Recognising(), iter(frames), rule, batching, None):
        for slot in window.used_slots:
            found = disparities[slot]
            assert found.std() == pytest.approx(0, abs=1e-6)
            assert found.mean() * 255 == pytest.approx(window.frames[slot], abs=1e-3)
            slots += 1
    assert slots >= FRAMES
