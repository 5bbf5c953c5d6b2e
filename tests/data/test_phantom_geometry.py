"""Depth, pose and intrinsics of the phantom are exact and belong together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.data.phantom import PhantomConfig, draw_scene
from endodav_jax.data.phantom.camera import camera_pose
from endodav_jax.data.phantom.families import FAMILIES
from tests.data.phantom_clips import HEIGHT, WIDTH, clip, project, sample, world_points

# Each costs a compilation of several seconds.
EVERY = [name if name in ("organ", "things") else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES]


def ideal(family: str) -> PhantomConfig:
    return PhantomConfig.ideal(family, seed=11, sequences=8, height=HEIGHT, width=WIDTH)


@jax.jit
def field_at(scene, points):
    points = (points[..., 0], points[..., 1], points[..., 2])
    field = scene.shape.field(points)
    return field if scene.shape.solids is None else jnp.minimum(field, scene.shape.solids.distance(points))


@pytest.mark.parametrize("family", EVERY)
@pytest.mark.parametrize("sequence", [0, 1, 2])
def test_every_pixel_sees_the_surface_and_nothing_stands_before_it(family, sequence):
    scene, views = draw_scene(ideal(family), sequence), clip(ideal(family), sequence)
    for i in (0, 7):
        depth, pose = views["depth_mm"][i], views["cam_from_world"][i]
        valid = depth > 0
        assert valid.mean() > 0.999
        hits = world_points(depth, views["intrinsics"][i], pose)
        value = np.abs(np.asarray(field_at(scene, jnp.asarray(hits, jnp.float32))))
        assert value[valid].max() < 0.015
        eye = np.linalg.inv(pose.astype(np.float64))[:3, 3]
        # Half a percent short of the hit every ray is still in free space, and all the way from the camera.
        for share in np.concatenate([np.linspace(0.02, 0.98, 49), [0.995]]):
            between = np.asarray(field_at(scene, jnp.asarray(eye + share * (hits - eye), jnp.float32)))
            assert between[valid].min() > -0.01


@pytest.mark.parametrize("family", EVERY)
def test_warping_by_depth_and_pose_reproduces_the_colours(family):
    errors, unmoved, shares = [], [], []
    for sequence in range(4):
        views = clip(ideal(family), sequence)
        a, b = 0, 3
        points = world_points(views["depth_mm"][a], views["intrinsics"][a], views["cam_from_world"][a])
        x, y, depth = project(points, views["intrinsics"][b], views["cam_from_world"][b])
        inside = (x > 1) & (x < WIDTH - 2) & (y > 1) & (y < HEIGHT - 2)
        seen = inside & (np.abs(sample(views["depth_mm"][b], x, y) / depth - 1) < 0.01)
        shares.append(seen.mean())
        first, second = views["frame"][a] / 255.0, views["frame"][b] / 255.0
        errors.append(np.abs(sample(second, x, y) - first)[seen].mean())
        unmoved.append(np.abs(second - first)[seen].mean())
    assert np.mean(shares) > 0.5
    # Sharp edges and fine patterns of things do not survive bilinear sampling at this size.
    assert np.mean(errors) < (0.06 if family == "things" else 0.012)
    assert np.mean(errors) < 0.5 * np.mean(unmoved)


@pytest.mark.parametrize("family", EVERY)
def test_depth_seen_from_the_next_frame_agrees(family):
    views = clip(ideal(family), 0)
    points = world_points(views["depth_mm"][0], views["intrinsics"][0], views["cam_from_world"][0])
    x, y, depth = project(points, views["intrinsics"][1], views["cam_from_world"][1])
    inside = (x > 0) & (x < WIDTH - 1) & (y > 0) & (y < HEIGHT - 1)
    off = np.abs(sample(views["depth_mm"][1], x, y) / depth - 1)[inside]
    assert np.median(off) < 1e-3
    assert np.quantile(off, 0.9) < 0.02


@pytest.mark.parametrize("family", EVERY)
def test_the_hand_is_steady_and_never_goes_through_the_wall(family):
    config = PhantomConfig.of(family, seed=5)
    scenes = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(draw_scene(config, i) for i in range(32)))

    @jax.jit
    @jax.vmap
    def follow(scene):
        poses = jax.lax.map(lambda t: camera_pose(scene.shape, scene.path, t), jnp.arange(100, dtype=jnp.float32))
        eyes = -jnp.einsum("tji,tj->ti", poses[:, :3, :3], poses[:, :3, 3])
        return poses, eyes, scene.shape.clearance((eyes[:, 0], eyes[:, 1], eyes[:, 2]))

    poses, eyes, room = (np.asarray(a, np.float64) for a in follow(scenes))
    rotation = poses[..., :3, :3]
    np.testing.assert_allclose(rotation @ np.swapaxes(rotation, -1, -2), np.eye(3) + 0 * rotation, atol=2e-6)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=2e-6)
    assert room.min() > 1.5
    step_mm = np.linalg.norm(np.diff(eyes, axis=1), axis=-1)
    fastest = config.speed[1]
    assert step_mm.max() < 3.0 * fastest
    assert 0.3 * config.speed[0] < np.median(step_mm) < 1.5 * fastest
    # No jumps: a step is nearly the one before it.
    assert np.linalg.norm(np.diff(eyes, 2, axis=1), axis=-1).max() < fastest
    turn = rotation[:, 1:] @ np.swapaxes(rotation[:, :-1], -1, -2)
    degrees = np.degrees(np.arccos(np.clip((np.trace(turn, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))
    assert np.quantile(degrees, 0.99) < 4.0
    assert degrees.max() < 6.0


@pytest.mark.parametrize("family", EVERY)
def test_depths_are_those_of_endoscopy(family):
    depth = np.concatenate([clip(ideal(family), sequence)["depth_mm"] for sequence in range(4)])
    depth = depth[depth > 0]
    assert depth.min() > 1.0
    assert depth.max() < 170.0
    assert 5.0 < np.median(depth) < 110.0


@pytest.mark.parametrize("family", EVERY)
def test_intrinsics_are_the_drawn_focal_length_and_a_centre_near_the_middle(family):
    config = PhantomConfig(family=family, focal=(0.82, 0.82), principal_jitter=0.02, height=HEIGHT, width=WIDTH)
    fx, fy, cx, cy = clip(config, 0)["intrinsics"][0]
    np.testing.assert_allclose([fx, fy], 0.82 * WIDTH, rtol=1e-6)
    assert abs(cx - (WIDTH - 1) / 2) <= 0.02 * WIDTH
    assert abs(cy - (HEIGHT - 1) / 2) <= 0.02 * WIDTH
