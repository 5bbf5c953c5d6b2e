"""Frames of other cameras: what they keep, and that brightness no longer tells depth."""

import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.pretraining.other_cameras import through_other_cameras

HEIGHT, WIDTH, CLIPS = 28, 35, 32
SEEDS = jnp.arange(CLIPS, dtype=jnp.int32)
STRONG = jnp.ones(CLIPS)


@pytest.fixture(scope="module")
def lit() -> tuple[jnp.ndarray, jnp.ndarray]:
    """Walls whose light falls off with the square of their depth; two frames of the same view."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / HEIGHT - 0.5
    depth = np.tile(np.float32(20 + 60 * np.hypot(x, y)), (CLIPS, 2, 1, 1))
    frames = np.repeat(((20 / depth) ** 2)[..., None] ** (1 / 2.2), 3, -1)
    return jnp.asarray(frames, jnp.float32), jnp.asarray(depth)


def told_by_brightness(frames, depth) -> np.ndarray:
    """Correlation of log brightness with log depth, of each clip's first frame."""
    found = []
    for frame, truth in zip(np.asarray(frames)[:, 0].mean(-1), np.asarray(depth)[:, 0], strict=True):
        seen = truth > 0
        found.append(np.corrcoef(np.log(frame[seen] + 1e-2), np.log(truth[seen]))[0, 1])
    return np.array(found)


def test_depth_stays_where_the_view_does(lit):
    frames, depth = lit
    seen, kept = through_other_cameras(frames, depth, SEEDS, STRONG)
    assert seen.shape == frames.shape
    assert float(seen.min()) >= 0
    assert float(seen.max()) <= 1
    kept = np.asarray(kept)
    assert np.all((kept == 0) | (kept == np.asarray(depth)))
    assert np.all(np.asarray(seen)[kept == 0] == 0)  # outside the stop
    whole = (kept > 0).all((1, 2, 3))
    assert 0.2 < whole.mean() < 0.95  # some clips have a stop, others none


def test_brightness_says_less_the_stronger_it_is(lit):
    frames, depth = lit
    strengths = jnp.where(SEEDS % 2 == 0, 0.0, 1.0)
    weak = told_by_brightness(*through_other_cameras(frames, depth, SEEDS, strengths)) > -0.85
    assert weak[::2].mean() < 0.1
    assert weak[1::2].mean() > 0.3


def test_a_clip_has_one_camera(lit):
    frames, depth = lit
    still = np.asarray(through_other_cameras(frames, depth, SEEDS, STRONG)[0])
    difference = np.abs(still[:, 0] - still[:, 1]).mean((1, 2, 3))
    assert np.all(difference < 0.04)  # noise alone
    assert (difference == 0).sum() > CLIPS / 4


def test_the_seed_decides_and_so_does_the_place_in_the_batch(lit):
    frames, depth = lit
    same = jnp.zeros(CLIPS, jnp.int32)
    once, again = (np.asarray(through_other_cameras(frames, depth, same, STRONG)[0]) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert np.abs(once[0] - once[1]).mean() > 0.01
