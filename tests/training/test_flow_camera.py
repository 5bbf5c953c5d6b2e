"""The camera that is solved from flow: true where flow and depth are, and as long as depth is deep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.data.registration import STRIDE
from endodav_jax.geometry.flow import rigid_flow
from endodav_jax.geometry.rigid import rigid_from_axis_angle
from endodav_jax.training.cameras import objectives_of
from endodav_jax.training.flow_camera import SOLVED_CAMERA, solved_camera
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.step import PUBLISHED

SHAPE, LENGTH = (64, 96), 2
CONFIG = ObjectiveConfig(camera="flow", learn_intrinsics=False)


@pytest.fixture(scope="module")
def scene():
    """A batch of one clip of two frames with the true flow to both neighbours, its depth, and its motion [2,2,4,4]."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / SHAPE[0]
    depth = jnp.asarray(
        np.stack([40 + 15 * np.sin(4 * x + i) * np.cos(3 * y) + 8 * x for i in range(LENGTH)]), jnp.float32
    )
    turns = jnp.asarray([[[0.02, -0.04, 0.01], [0.0, 0.03, 0.0]], [[-0.03, 0.0, 0.02], [0.05, 0.01, 0.0]]])
    shifts = jnp.asarray([[[1.0, 0.0, -2.0], [0.5, 1.0, 0.0]], [[0.0, -1.0, 1.0], [2.0, 0.0, 1.0]]])
    motion = rigid_from_axis_angle(turns, shifts)
    intrinsics = jnp.array([[90.0, 90.0, 47.0, 32.0]])
    flows = [rigid_flow(depth, jnp.repeat(intrinsics, LENGTH, 0), side) for side in motion]
    flow = jnp.stack(flows).reshape(2, LENGTH, SHAPE[0] // STRIDE, STRIDE, SHAPE[1] // STRIDE, STRIDE, 2).mean((3, 5))
    flow = jnp.concatenate([flow, jnp.ones_like(flow[..., :1])], -1)
    batch = {
        "frames": jnp.zeros((1, LENGTH + 2, *SHAPE, 3)),
        "view_mask": jnp.ones((1, *SHAPE), bool),
        "intrinsics": intrinsics,
        "neighbour_flow": flow[None],
    }
    return batch, depth, motion


def camera(batch, depth):
    return solved_camera(None, None, batch, depth, CONFIG)


def test_it_is_the_true_one_where_flow_and_depth_are(scene):
    batch, depth, motion = scene
    found, intrinsics = camera(batch, depth)
    np.testing.assert_allclose(found[..., :3, :3], motion[..., :3, :3], atol=2e-3)
    np.testing.assert_allclose(found[..., :3, 3], motion[..., :3, 3], atol=0.15)
    np.testing.assert_array_equal(intrinsics, np.repeat(batch["intrinsics"], LENGTH, 0))


def test_its_shifts_grow_with_depth_so_that_the_scale_has_no_gradient_of_its_own(scene):
    batch, depth, _ = scene

    def length(scale):
        return jnp.linalg.norm(camera(batch, scale * depth)[0][0, 0, :3, 3])

    value, slope = jax.value_and_grad(length)(1.0)
    np.testing.assert_allclose(slope, value, rtol=1e-3)
    np.testing.assert_allclose(length(3.0), 3 * value, rtol=1e-2)


def test_what_is_masked_has_no_part_in_the_scale(scene):
    batch, depth, _ = scene
    left = jnp.arange(SHAPE[1]) < SHAPE[1] // 2
    kept = jnp.ones((1, LENGTH + 2, *SHAPE), bool).at[:, 1].set(left)
    slope = jax.grad(lambda depth: camera(batch | {"frame_mask": kept}, depth)[0][0, 0, 0, 3])(depth)
    assert jnp.abs(slope[0][:, left]).min() > 0
    assert not slope[0][:, ~left].any()


def test_the_configuration_chooses_it():
    assert objectives_of(CONFIG, PUBLISHED).depth is SOLVED_CAMERA.depth
    assert objectives_of(ObjectiveConfig(), PUBLISHED) == PUBLISHED
    with pytest.raises(ValueError, match="learn_intrinsics=False"):
        ObjectiveConfig(camera="flow")
