"""Flow without learning is good enough to solve the camera's motion from, on a family that nothing was trained on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.data.phantom import PhantomConfig, draw_scene, render_clip
from endodav_jax.data.registration import STRIDE, neighbour_flow
from endodav_jax.geometry.motion_from_flow import motion_from_flow

TENTH = 0.1
INTERVAL = 4


@pytest.fixture(scope="module")
def clips() -> list[dict[str, np.ndarray]]:
    phantom = PhantomConfig.organ(seed=77, sequences=2, frames=64, height=128, width=160)
    numbers = (5 + INTERVAL * np.arange(4)).astype(np.int32)
    return [
        jax.tree.map(np.asarray, render_clip(draw_scene(phantom, i), numbers, height=128, width=160)) for i in range(2)
    ]


def solved(clip, disparity):
    """Motion from each inner frame to the one before and the one after, and the true one: [2,T,4,4]."""
    flow = neighbour_flow(clip["frame"], clip["view_mask"][0] & (clip["depth_mm"] > 0))
    intrinsics = clip["intrinsics"][1:-1].copy()
    intrinsics[:, 2:] -= (STRIDE - 1) / 2
    poses = clip["cam_from_world"].astype(np.float64)
    true = np.stack([poses[:-2] @ np.linalg.inv(poses[1:-1]), poses[2:] @ np.linalg.inv(poses[1:-1])])
    found = [
        motion_from_flow(
            jnp.asarray(side[..., :2] / STRIDE), disparity, jnp.asarray(intrinsics / STRIDE), jnp.asarray(side[..., 2])
        ).cam_b_from_cam_a
        for side in flow
    ]
    return np.asarray(found, np.float64), true


def angle(rotations: np.ndarray) -> np.ndarray:
    return np.arccos(np.clip((np.trace(rotations, axis1=-2, axis2=-1) - 1) / 2, -1, 1))


def test_turn_and_direction_are_within_a_tenth_where_depth_is_known(clips):
    turns, turn_errors, direction_errors = [], [], []
    for clip in clips:
        depth = clip["depth_mm"][1:-1]
        pooled = depth.reshape(len(depth), 128 // STRIDE, STRIDE, 160 // STRIDE, STRIDE).mean((2, 4))
        found, true = solved(clip, jnp.asarray(1 / np.maximum(pooled, 1.0)))
        turns.append(angle(true[..., :3, :3]))
        turn_errors.append(angle(found[..., :3, :3] @ true[..., :3, :3].swapaxes(-1, -2)))
        unit = [
            motion[..., :3, 3] / np.linalg.norm(motion[..., :3, 3], axis=-1, keepdims=True) for motion in (found, true)
        ]
        direction_errors.append(np.linalg.norm(unit[0] - unit[1], axis=-1))
    assert np.mean(turn_errors) < TENTH * np.mean(turns)
    assert np.median(direction_errors) < TENTH


def test_flow_leads_from_a_frame_to_its_neighbours():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (80, 100, 3), dtype=np.uint8)
    picture = np.asarray(jax.image.resize(jnp.asarray(picture[::4, ::4], jnp.float32), (80, 100, 3), "cubic"))
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    frames = np.stack([picture[8 : 8 + 64, 8 - 2 * i + 4 : 8 - 2 * i + 4 + 80] for i in range(3)])  # moves right by 2
    counted = np.ones((64, 80), bool)
    counted[:, :8] = False
    before, after = neighbour_flow(frames, counted)
    inner = (slice(None), slice(3, -3), slice(4, -4))
    np.testing.assert_allclose(after[inner][..., 1], 2.0, atol=0.15)
    np.testing.assert_allclose(before[inner][..., 1], -2.0, atol=0.15)
    np.testing.assert_allclose(after[inner][..., 0], 0.0, atol=0.15)
    assert after[inner][..., 2].min() > 0.5
    assert after[:, :, :2, 2].max() == 0  # what is not counted has no weight
