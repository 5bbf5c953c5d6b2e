"""Rendered scenes as training data: mirroring keeps the geometry true, the cache keeps what was rendered."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.data.phantom import PhantomConfig
from endodav_jax.data.phantom.families import FAMILIES
from endodav_jax.geometry.camera import reproject
from endodav_jax.geometry.sampling import sample_bilinear
from endodav_jax.pretraining import scenes
from endodav_jax.pretraining.render_ahead import render_ahead
from endodav_jax.pretraining.scenes import Cropped, Mirrored, PhantomScenes, mixture, scene_batches


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
    turned = Mirrored().random_map(dict(scene), np.random.default_rng(seed))
    assert _mismatch(turned) < 0.01
    assert turned["frames"].shape == scene["frames"].shape


def test_the_measure_sees_a_pose_that_was_not_mirrored_with_its_picture(scene):
    mirrored = scene | {name: scene[name][:, :, ::-1] for name in ("frames", "depth_mm")}
    assert _mismatch(scene) < 0.01 < 2 * _mismatch(mirrored)


@pytest.mark.slow
def test_a_cached_scene_is_the_rendered_one(tmp_path):
    phantom = PhantomConfig.colon(seed=3, sequences=2, frames=2, height=32, width=40)
    source = PhantomScenes(phantom, False, str(tmp_path))
    rendered, cached = source[1], source[1]
    assert len(list(tmp_path.rglob("*.npz"))) == 1
    for name, values in rendered.items():
        np.testing.assert_allclose(cached[name], values, rtol=1e-3, err_msg=name)


def test_scenes_of_a_family_that_has_changed_are_rendered_anew(tmp_path, monkeypatch):
    source = PhantomScenes(
        PhantomConfig.colon(seed=3, sequences=1, frames=1, height=32, width=40), False, str(tmp_path)
    )
    changed = dict(FAMILIES) | {"colon": dataclasses.replace(FAMILIES["colon"], version=2)}
    monkeypatch.setattr(scenes, "FAMILIES", changed)
    before = source.path(0)
    assert dataclasses.replace(source, wide_lenses=0.0).path(0) == before
    monkeypatch.setattr(scenes, "FAMILIES", dict(FAMILIES))
    assert dataclasses.replace(source, wide_lenses=0.0).path(0) != before


def test_batches_of_one_go_on_from_any_number(tmp_path):
    phantom = PhantomConfig.colon(seed=3, sequences=3, frames=2, height=32, width=40)
    source = PhantomScenes(phantom, False, str(tmp_path))
    from_the_start = scene_batches(source, 1, 0, 0)
    batches = [next(from_the_start) for _ in range(5)]
    later = next(scene_batches(source, 1, 0, 4))
    np.testing.assert_array_equal(later["frames"], batches[4]["frames"])
    np.testing.assert_array_equal(later["jitter"], batches[4]["jitter"])


@pytest.mark.slow
def test_a_mixture_holds_each_family_as_often_as_its_weight_says():
    families = (("colon", 3.0), ("organ", 1.0))
    scenes = mixture(families, 8, consecutive=False, cache="", seed=3, frames=1, height=32, width=40)
    assert len(scenes) == 8
    alone = PhantomScenes(PhantomConfig.colon(seed=3, sequences=6, frames=1, height=32, width=40), False)
    np.testing.assert_array_equal(scenes[5]["frames"], alone[5]["frames"])
    assert not np.array_equal(scenes[6]["frames"], alone[0]["frames"])  # the first of the other family


def test_the_batches_say_how_far_the_camera_of_each_family_is_changed():
    families = (("colon", 1.0), ("sinus", 1.0))
    scenes = mixture(
        families, 4, consecutive=False, cache="", seed=3, frames=2, height=32, width=40,
        camera_strength=1.0, camera_strength_of=(("sinus", 0.25),),
    )  # fmt: skip
    batch = next(scene_batches(scenes, 4, 0, 0, Cropped((28, 35))))
    assert sorted(batch["camera_strength"]) == [0.25, 0.25, 1.0, 1.0]


@pytest.mark.parametrize("seed", range(3))
def test_a_part_of_a_frame_is_cut_with_its_depth(seed):
    # A picture that shows its own depth: what is cut from both must still agree.
    depth = np.tile(np.linspace(20, 200, 80, dtype=np.float32), (2, 64, 1))
    depth[:, :, :5] = 0
    frames = np.repeat(depth.astype(np.uint8)[..., None], 3, -1)
    cropped = Cropped((28, 42), blurred=0.0, compressed=0.0)
    part = cropped.random_map({"frames": frames, "depth_mm": depth}, np.random.default_rng(seed))
    assert part["frames"].shape == (2, 28, 42, 3)
    assert part["depth_mm"].shape == (2, 28, 42)
    known = part["depth_mm"] > 25
    assert np.abs(part["frames"][..., 0][known] - part["depth_mm"][known]).max() < 8
    assert set(np.unique(part["depth_mm"])) <= set(np.unique(depth))  # no two depths are mixed


@pytest.mark.slow
def test_scenes_rendered_ahead_are_those_that_would_be_rendered_and_are_read_alike_by_any_number_of_workers(tmp_path):
    families = (("colon", 1.0), ("stomach", 1.0))
    made = {"consecutive": False, "seed": 3, "frames": 2, "height": 32, "width": 40}
    ahead = mixture(families, 6, cache=str(tmp_path), **made)
    ahead[0]  # one is there already
    render_ahead(ahead.sources, 2)
    assert all(source.path(scene).exists() for source in ahead.sources for scene in range(3))
    rendered = mixture(families, 6, cache="", **made)
    for scene in range(6):
        np.testing.assert_array_equal(ahead[scene]["frames"], rendered[scene]["frames"])
    batches = scene_batches(ahead, 2, 0, 1), scene_batches(ahead, 2, 0, 1, workers=2)
    for _ in range(4):
        mine, theirs = map(next, batches)
        for name, values in mine.items():
            np.testing.assert_array_equal(theirs[name], values, err_msg=name)
    batches[1].close()
