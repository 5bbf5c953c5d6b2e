"""Wide lenses: their rays, and that a lens that does not bend is the pinhole."""

import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.data.phantom import PhantomConfig, draw_scene, render_clip
from endodav_jax.data.phantom.trace import ray_directions
from endodav_jax.pretraining.scenes import PhantomScenes, mixture
from endodav_jax.pretraining.wide_lens import HALF_ANGLE_DEGREES, bent_rays, render_bent, through_wide_lens

HEIGHT, WIDTH = 32, 40
PHANTOM = PhantomConfig.colon(seed=3, sequences=1, frames=2, height=HEIGHT, width=WIDTH)


@pytest.mark.parametrize("seed", range(4))
def test_the_corner_is_seen_at_the_angle_that_was_drawn(seed):
    scene, bend = through_wide_lens(draw_scene(PHANTOM, 0), np.random.default_rng(seed), HEIGHT, WIDTH)
    focal = float(scene.lens.focal) * WIDTH
    # The corner of the picture, half a pixel beyond the middle of the last one.
    x, y, z = bent_rays(bend)(jnp.array([focal, focal, WIDTH / 2, HEIGHT / 2]), 1, 1, 1)
    angle = np.degrees(np.arctan2(np.hypot(float(x[0]), float(y[0])), float(z[0])))
    assert HALF_ANGLE_DEGREES[0] - 0.1 <= angle <= HALF_ANGLE_DEGREES[1] + 0.1


def test_a_full_bend_shows_equal_angles_as_equal_distances():
    x, _, _ = bent_rays(1.0)(jnp.array([10.0, 10.0, 0.0, 0.0]), 1, 9, 1)
    angles = np.arctan(np.asarray(x))
    np.testing.assert_allclose(np.diff(angles), 0.1, atol=1e-3)


@pytest.mark.slow
def test_a_lens_that_hardly_bends_is_the_pinhole():
    scene, numbers = draw_scene(PHANTOM, 0), np.array([3, 40], np.int32)
    straight = render_clip(scene, numbers, height=HEIGHT, width=WIDTH)
    bent = render_bent(scene, numbers, np.float32(1e-3), height=HEIGHT, width=WIDTH)
    np.testing.assert_allclose(bent["depth_mm"], straight["depth_mm"], rtol=2e-3)


def test_rays_with_little_bend_are_straight():
    intrinsics = jnp.array([30.0, 30.0, 19.5, 15.5])
    for bent, straight in zip(
        bent_rays(1e-3)(intrinsics, HEIGHT, WIDTH, 1), ray_directions(intrinsics, HEIGHT, WIDTH), strict=True
    ):
        np.testing.assert_allclose(bent, straight, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_the_share_of_wide_lenses_holds():
    source = PhantomScenes(PhantomConfig.colon(seed=3, sequences=12, frames=1, height=32, width=40), False, "", 0.5)
    focal = np.array([source[i]["intrinsics"][0] / 40 for i in range(12)])
    wide = focal < PHANTOM.focal[0] * 0.999
    assert 1 <= wide.sum() <= 11


def test_caches_without_wide_lenses_keep_their_names(tmp_path):
    plain = PhantomScenes(PHANTOM, False, str(tmp_path))
    assert plain.path(0) == PhantomScenes(PHANTOM, False, str(tmp_path), 0.0).path(0)
    assert plain.path(0).parent.name == "colon_54f9f95feb07"
    assert plain.path(0) != PhantomScenes(PHANTOM, False, str(tmp_path), 0.5).path(0)


def test_rooms_are_not_seen_through_an_endoscopes_lens():
    scenes = mixture((("colon", 1.0), ("things", 1.0)), 4, consecutive=False, cache="", wide_lenses=0.6, frames=1)
    assert [source.wide_lenses for source in scenes.sources] == [0.6, 0.0]
