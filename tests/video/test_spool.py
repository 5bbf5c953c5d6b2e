"""Disparities on disk: they come back, and the clip's range is known."""

import numpy as np
import pytest

from endodav_jax.errors import UserError
from endodav_jax.video.spool import DisparitySpool


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(0).gamma(2.0, size=(20, 12, 15)).astype(np.float32)


def test_maps_come_back_in_order_with_their_numbers_and_range(tmp_path, maps):
    with DisparitySpool(tmp_path, (12, 15), None) as spool:
        for i, disparity in enumerate(maps):
            spool.append(3 * i, disparity)
        for _ in range(2):
            indices, read = zip(*spool, strict=True)
            np.testing.assert_array_equal(read, maps)
            assert list(indices) == list(range(0, 60, 3))
        assert (spool.low, spool.high) == (maps.min(), maps.max())


def test_outside_the_view_is_zero_and_does_not_count(tmp_path, maps):
    inside = np.zeros((12, 15), bool)
    inside[2:9, 3:12] = True
    maps[:, 0, 0] = 99
    with DisparitySpool(tmp_path, (12, 15), inside) as spool:
        for i, disparity in enumerate(maps):
            spool.append(i, disparity)
        read = np.stack([disparity for _, disparity in spool])
        assert (spool.low, spool.high) == (maps[:, inside].min(), maps[:, inside].max())
    assert (read[:, ~inside] == 0).all()
    np.testing.assert_array_equal(read[:, inside], maps[:, inside])


def test_quantiles_are_those_of_the_whole_clip(tmp_path, maps):
    with DisparitySpool(tmp_path, (12, 15), None) as spool:
        for i, disparity in enumerate(maps):
            spool.append(i, disparity)
        np.testing.assert_allclose(spool.quantiles(0.02, 0.98), np.quantile(maps, [0.02, 0.98]), atol=0.02)


def test_a_flat_clip_has_no_quantiles_to_tell_apart(tmp_path):
    with DisparitySpool(tmp_path, (2, 2), None) as spool:
        spool.append(0, np.ones((2, 2), np.float32))
        assert spool.quantiles(0.1, 0.9) == (1.0, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, bad):
    with DisparitySpool(tmp_path, (2, 2), None) as spool, pytest.raises(UserError, match=r"frame 5: .*not finite"):
        spool.append(5, np.array([[1, bad], [1, 1]], np.float32))


def test_nothing_is_left_in_the_folder(tmp_path, maps):
    with DisparitySpool(tmp_path, (12, 15), None) as spool:
        spool.append(0, maps[0])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        DisparitySpool(tmp_path / "none", (2, 2), None)
