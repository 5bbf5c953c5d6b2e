"""Losses of the motion networks where truth is known, and a step that trains all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from endodav_jax.data.contract import NO_JITTER
from endodav_jax.data.phantom import PhantomConfig
from endodav_jax.geometry.flow import rigid_flow
from endodav_jax.models.pose import Motion
from endodav_jax.pretraining.motion_step import (
    DEPTH_UNIT,
    CameraNetworks,
    FlowNetworks,
    camera_from_flow,
    camera_losses,
    flow_losses,
    motion_step,
)
from endodav_jax.pretraining.scenes import PhantomScenes


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    scenes = PhantomScenes(PhantomConfig.ideal("colon", seed=5, sequences=2, frames=3, height=64, width=64), True)
    batch = {key: np.stack([scenes[i][key] for i in range(2)]) for key in scenes[0]}
    return batch | {
        "jitter": np.tile(np.array(NO_JITTER, np.float32), (2, 1)),
        "jitter_order": np.tile(np.arange(4, dtype=np.int32), (2, 1)),
    }


class Knowing:
    """Networks that answer with the truth, found here by another way than in the losses: pair by pair, in mm."""

    def __init__(self, batch: dict[str, np.ndarray]):
        flows, rotations, translations, intrinsics = [], [], [], []
        for poses, depth, camera in zip(batch["cam_from_world"], batch["depth_mm"], batch["intrinsics"], strict=True):
            unit = DEPTH_UNIT * np.mean(1 / depth[depth > 0])
            for a, b in ((0, 1), (1, 2), (1, 0), (2, 1)):  # frame, neighbour
                motion = poses[b].astype(np.float64) @ np.linalg.inv(poses[a].astype(np.float64))
                flow = rigid_flow(jnp.asarray(depth[None, a]), camera[None], motion[None].astype(np.float32))
                flows.append(np.asarray(flow[0]))
                angle = np.arccos(np.clip((np.trace(motion[:3, :3]) - 1) / 2, -1, 1))
                skew = motion[:3, :3] - motion[:3, :3].T
                axis = np.array([skew[2, 1], skew[0, 2], skew[1, 0]]) / 2
                rotations.append(axis * angle / max(np.sin(angle), 1e-9))
                translations.append(motion[:3, 3] * unit)
                intrinsics.append(camera)
        arrays = (np.stack(values).astype(np.float32) for values in (flows, rotations, translations, intrinsics))
        self._flow, rotation, translation, self._intrinsics = map(jnp.asarray, arrays)
        self._motion = Motion(rotation, translation, jnp.zeros(()))

    def pose(self, neighbour, frame, train):
        return self._motion

    def flow(self, neighbour, frame, train):
        return (self._flow,)

    def intrinsics(self, features, height, width):
        return self._intrinsics

    def transform(self, registration, frame, train):
        return (registration - frame,)


def test_networks_that_know_the_truth_have_no_errors(batch):
    losses = flow_losses(Knowing(batch), batch) | camera_losses(Knowing(batch), batch)
    assert losses["flow"] < 0.02  # pixels
    assert losses["reprojection"] < 0.05
    assert losses["intrinsics"] == 0
    assert losses["transform"] < 0.05  # what remains is its smoothness at the image's own edges


def test_the_order_of_a_pair_matters(batch):
    networks = Knowing(batch)
    swapped = Motion(-networks._motion.axis_angle, -networks._motion.translation, networks._motion.features)
    networks._motion = swapped
    assert camera_losses(networks, batch)["reprojection"] > 0.5


@pytest.mark.slow
def test_steps_train_every_network_and_move_the_statistics(batch):
    optimiser = optax.adam(1.0)

    def fresh(kind):
        graphdef, params, statistics = nnx.split(kind(nnx.Rngs(0), 10), nnx.Param, nnx.BatchStat)
        params, statistics = nnx.to_pure_dict(params), nnx.to_pure_dict(statistics)
        return graphdef, {"params": params, "statistics": statistics, "opt": optimiser.init(params)}

    def trained(graphdef, state, losses):
        before = jax.tree.map(np.asarray, {part: state[part] for part in ("params", "statistics")})
        seen = []
        for _ in range(8):
            state, aux = motion_step(
                state, batch, np.float32(1e-3), graphdef=graphdef, losses=losses, optimiser=optimiser
            )
            seen.append(float(aux["loss"]))
        assert seen[-1] < seen[0]
        for name, network in before["params"].items():
            moved = jax.tree.map(lambda old, new: not np.array_equal(old, new), network, state["params"][name])
            assert any(jax.tree.leaves(moved)), name
        still = jax.tree.map(lambda old, new: np.array_equal(old, new), before["statistics"], state["statistics"])
        assert not any(jax.tree.leaves(still))
        return state

    flow = trained(*fresh(FlowNetworks), flow_losses)
    graphdef, camera = fresh(CameraNetworks)
    camera = camera_from_flow(camera, flow)
    np.testing.assert_array_equal(
        camera["params"]["pose"]["encoder"]["stem"]["conv"]["kernel"],
        flow["params"]["flow"]["encoder"]["stem"]["conv"]["kernel"],
    )
    trained(graphdef, camera, camera_losses)


@pytest.mark.parametrize("moved", [0.0, 1e-7, 1.0])
def test_pixels_without_depth_leave_the_derivatives_of_the_camera_finite(batch, moved):
    holes = batch | {"depth_mm": np.where(np.arange(64) < 20, 0, batch["depth_mm"]).astype(np.float32)}
    networks = Knowing(holes)

    def error(motion):
        networks._motion = motion
        return camera_losses(networks, holes)["reprojection"]

    motion = Motion(jnp.zeros((8, 3)), jnp.full((8, 3), moved), jnp.zeros(()))
    for derivative in jax.tree.leaves(jax.grad(error)(motion)):
        assert np.isfinite(derivative).all()
