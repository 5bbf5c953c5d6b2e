"""Rendered scenes as training data: mirroring keeps the geometry true, the cache keeps what was rendered."""

import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.data.phantom import PhantomConfig
from endodav_jax.geometry.camera import reproject
from endodav_jax.geometry.sampling import sample_bilinear
from endodav_jax.pretraining.scenes import PhantomScenes, Turned, scene_batches


@pytest.fixture(scope="module")
def scene() -> dict[str, np.ndarray]:
    return PhantomScenes(PhantomConfig.ideal("colon", seed=5, sequences=1, frames=2, height=64, width=80), True)[0]


def _mismatch(scene: dict[str, np.ndarray]) -> float:
    """Mean difference of the depth of frame 0 as frame 1 sees it from frame 1's own depth, relative."""
    motion = scene["cam_from_world"][1] @ np.linalg.inv(scene["cam_from_world"][0])
    pixels, there = reproject(jnp.asarray(scene["depth_mm"][:1]), scene["intrinsics"][None], motion[None])
    found = sample_bilinear(jnp.asarray(scene["depth_mm"][1:, ..., None]), pixels, "border")[..., 0]
    x, y = np.moveaxis(np.asarray(pixels), -1, 0)
    inside = (x > 1) & (x < 78) & (y > 1) & (y < 62) & (scene["depth_mm"][:1] > 0)
    return float(np.median(np.abs(np.asarray(found - there))[inside] / np.asarray(there)[inside]))


@pytest.mark.parametrize("seed", range(6))
def test_a_mirrored_scene_is_a_scene(scene, seed):
    turned = Turned().random_map(dict(scene), np.random.default_rng(seed))
    assert _mismatch(turned) < 0.01
    assert turned["frames"].shape == scene["frames"].shape


def test_the_measure_sees_a_pose_that_was_not_mirrored_with_its_picture(scene):
    mirrored = scene | {name: scene[name][:, :, ::-1] for name in ("frames", "depth_mm")}
    assert _mismatch(scene) < 0.01 < 2 * _mismatch(mirrored)


def test_a_cached_scene_is_the_rendered_one(tmp_path):
    phantom = PhantomConfig.colon(seed=3, sequences=2, frames=2, height=32, width=40)
    source = PhantomScenes(phantom, False, str(tmp_path))
    rendered, cached = source[1], source[1]
    assert len(list(tmp_path.rglob("*.npz"))) == 1
    for name, values in rendered.items():
        np.testing.assert_allclose(cached[name], values, rtol=1e-3, err_msg=name)


def test_batches_of_one_go_on_from_any_number(tmp_path):
    phantom = PhantomConfig.colon(seed=3, sequences=3, frames=2, height=32, width=40)
    source = PhantomScenes(phantom, False, str(tmp_path))
    from_the_start = scene_batches(source, 1, 0, 0)
    batches = [next(from_the_start) for _ in range(5)]
    later = next(scene_batches(source, 1, 0, 4))
    np.testing.assert_array_equal(later["frames"], batches[4]["frames"])
    np.testing.assert_array_equal(later["jitter"], batches[4]["jitter"])
