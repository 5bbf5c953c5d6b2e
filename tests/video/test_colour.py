"""Colours: known tables, the published rounding, the view's outside black."""

import numpy as np
import pytest

from endodav_jax.video.colour import colour_table, colourise

# First, middle and last colour, as published with each map.
KNOWN = {
    "inferno": [(0, 0, 4), (188, 55, 84), (252, 255, 164)],
    "magma": [(0, 0, 4), (183, 55, 121), (252, 253, 191)],
    "turbo": [(48, 18, 59), (164, 252, 60), (122, 4, 3)],
    "gray": [(0, 0, 0), (128, 128, 128), (255, 255, 255)],
}


@pytest.mark.parametrize("name", KNOWN)
def test_tables_are_the_known_ones(name):
    table = colour_table(name)
    assert (table.shape, table.dtype) == ((256, 3), np.uint8)
    np.testing.assert_allclose(table[[0, 128, 255]].astype(int), KNOWN[name], atol=1)


def test_levels_are_rounded_down_and_clipped():
    values = np.array([[-1.0, 0.0, 0.5, 0.999, 1.0, 7.0]], np.float32)
    levels = colourise(values, 0.0, 1.0, colour_table("gray"), None)[..., 0]
    assert levels.tolist() == [[0, 0, 127, 254, 255, 255]]


def test_a_range_without_values_is_dark_and_warns_of_nothing():
    assert not colourise(np.zeros((2, 3), np.float32), np.inf, -np.inf, colour_table("gray"), None).any()


def test_a_flat_clip_is_dark_and_the_outside_black():
    values = np.full((2, 2), 3.0, np.float32)
    inside = np.array([[True, False], [True, True]])
    colours = colourise(values, 3.0, 3.0, colour_table("turbo"), inside)
    assert colours[0, 0].tolist() == colour_table("turbo")[0].tolist()
    assert colours[0, 1].tolist() == [0, 0, 0]
