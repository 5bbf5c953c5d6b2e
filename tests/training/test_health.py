"""The numbers that say whether predicted depth is still depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.training import health

SHAPE = (3, 16, 24)


def measured(depth, disparity=None, length=0.0, in_view=None) -> dict[str, float]:
    """Health of a depth map broadcast to `SHAPE`, with a translation of `length` to both neighbours."""
    depth = jnp.broadcast_to(jnp.asarray(depth, jnp.float32), SHAPE)
    motion = jnp.broadcast_to(jnp.eye(4), (2, SHAPE[0], 4, 4)).at[..., 2, 3].set(length)
    disparity = 1 / depth if disparity is None else jnp.broadcast_to(disparity, SHAPE)
    in_view = jnp.ones(SHAPE, bool) if in_view is None else jnp.broadcast_to(in_view, SHAPE)
    found = jax.jit(health.health_of)(disparity, depth, motion, in_view)
    return {name: float(value) for name, value in found.items()}


def test_a_plane_has_its_depth_for_median_and_no_relief():
    found = measured(2.0, length=0.5)
    assert found[health.MEDIAN_DEPTH] == pytest.approx(2.0)
    assert found[health.RELIEF] == pytest.approx(0.0, abs=1e-6)
    assert found[health.TRANSLATION] == pytest.approx(0.25)


def test_relief_is_the_spread_of_log_depth_within_frames_and_blind_to_scale():
    rows = np.exp(np.where(np.arange(16) // 8 == 0, -0.3, 0.3))[:, None]
    between_frames = np.array([1.0, 5.0, 25.0])[:, None, None]
    assert measured(rows)[health.RELIEF] == pytest.approx(0.3, rel=1e-4)
    assert measured(rows * between_frames)[health.RELIEF] == pytest.approx(0.3, rel=1e-4)


def test_the_share_of_zeros_counts_what_is_in_view():
    left = np.arange(24) < 12
    disparity = np.where(np.arange(24) < 6, 0.0, 1.0)
    assert measured(1.0, disparity)[health.ZERO_SHARE] == pytest.approx(0.25)
    assert measured(1.0, disparity, in_view=left)[health.ZERO_SHARE] == pytest.approx(0.5)
    assert health.is_dead(measured(150.0, 0.0))
    assert not health.is_dead(measured(1.0, disparity))


def test_what_is_out_of_view_counts_in_nothing():
    half = np.arange(24) < 12
    depth = np.where(half, 2.0, 9.0)
    assert measured(depth, in_view=half) == pytest.approx(measured(2.0), abs=1e-6)


def test_nothing_in_view_is_no_error():
    found = measured(1.0, in_view=False)
    assert found[health.RELIEF] == found[health.ZERO_SHARE] == 0.0


def test_it_has_no_derivative():
    def total(depth):
        return sum(health.health_of(1 / depth, depth, jnp.zeros((2, 3, 4, 4)), jnp.ones(SHAPE, bool)).values())

    assert not jax.grad(total)(jnp.full(SHAPE, 2.0)).any()
