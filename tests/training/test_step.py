"""One step changes what its phase trains, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.training.initial import trained_groups
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.phases import PhaseSchedule, phase_of_step
from tests.training.toy import toy_batch, toy_config, toy_step, traced_phases

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run():
    """(compiled step, state, frozen groups, spatial phase, temporal phase, phases that it was compiled for)."""
    config = toy_config(SHIPPED, resnet_layers=10, ema_decay=0.9)
    step, state, frozen = toy_step(config)
    schedule = PhaseSchedule(spatial_steps=2, temporal_steps=2)
    spatial, temporal = (phase_of_step(number, schedule, frozenset(state["params"])) for number in (1, 2))
    program, traced = traced_phases(step)
    return program, state, frozen, spatial, temporal, traced


def changed(before, after) -> set[str]:
    """Names of groups with any leaf that differs in a bit."""
    return {
        group
        for group in before
        if any(
            not np.array_equal(a, b)
            for a, b in zip(jax.tree.leaves(before[group]), jax.tree.leaves(after[group]), strict=True)
        )
    }


def test_two_steps_of_a_phase_change_its_groups_and_leave_all_else_bit_for_bit(run):
    step, state, frozen, spatial, temporal, _ = run
    motion = {"flow", "pose", "transform", "intrinsics"}
    for phase, own in ((spatial, "spatial_adapters"), (temporal, "temporal_adapters")):
        after = state
        for number in (1, 2):
            after, metrics, _ = step(after, frozen, toy_batch(number, 1), phase)
        assert bool(metrics["finite"])
        wanted = motion | {own, "output_convolutions"}
        for part in ("params", "opt", "ema"):
            assert changed(state[part], after[part]) == wanted, (phase.name, part)
        assert int(after["step"]) == 2
        counts = {group: int(after["opt"][group].inner_state.count) for group in after["opt"]}
        assert counts == {group: 2 if group in wanted else 0 for group in counts}


def test_the_projection_loss_is_on_in_the_temporal_phase_alone(run):
    step, state, frozen, spatial, temporal, _ = run
    losses = [
        step(state, frozen, toy_batch(1, 1), phase)[1]["loss/loss_depth_reproj/0"] for phase in (spatial, temporal)
    ]
    assert float(losses[0]) == 0.0
    assert float(losses[1]) > 0.0


def test_a_step_is_compiled_once_a_phase(run):
    step, state, frozen, spatial, temporal, traced = run
    for number, phase in enumerate((spatial, temporal, spatial, temporal), start=1):
        state, _, _ = step(state, frozen, toy_batch(number, 1), phase)
    assert sorted(traced) == ["spatial", "temporal"]


def test_a_gradient_that_is_not_finite_leaves_the_state_as_it_was_and_is_counted(run):
    step, state, frozen, spatial, *_ = run
    poisoned = jax.tree.map(lambda leaf: leaf, state)
    pose = poisoned["params"]["pose"]
    name = next(name for name in pose if name.endswith("bias"))
    poisoned["params"] = state["params"] | {"pose": pose | {name: jnp.full_like(pose[name], jnp.nan)}}
    after, metrics, _ = step(poisoned, frozen, toy_batch(1, 1), spatial)
    assert not bool(metrics["finite"])
    for part in ("params", "opt", "statistics", "ema"):
        for a, b in zip(jax.tree.leaves(poisoned[part]), jax.tree.leaves(after[part]), strict=True):
            np.testing.assert_array_equal(a, b)
    assert (int(after["skipped"]), int(after["step"])) == (1, 1)
    assert any(not np.isfinite(metrics[f"gradient_norm/{group}"]) for group in ("pose", "spatial_adapters"))


def test_pictures_are_of_one_frame(run):
    step, state, frozen, spatial, *_ = run
    _, _, pictures = step(state, frozen, toy_batch(1, 1), spatial)
    assert pictures.frame.shape == (64, 64, 3)
    assert pictures.flow.shape == (2, 64, 64, 2)
    assert pictures.disparity.shape == (64, 64)


def test_a_step_that_does_not_learn_registration_makes_the_depth_update_alone():
    objective = ObjectiveConfig(learn_registration=False)
    step, state, frozen = toy_step(toy_config(SHIPPED, resnet_layers=10, objective=objective))
    phase = phase_of_step(1, PhaseSchedule(joint=True), frozenset(state["params"]))
    after, metrics, _ = jax.jit(step, static_argnums=3)(state, frozen, toy_batch(1, 1), phase)
    assert bool(metrics["finite"])
    assert {"flow", "transform"} <= frozen.keys()
    assert changed(state["params"], after["params"]) == {
        "spatial_adapters", "temporal_adapters", "output_convolutions", "pose", "intrinsics",
    }  # fmt: skip
    for network in ("flow", "transform"):
        for before, now in zip(
            *map(jax.tree.leaves, (state["statistics"][network], after["statistics"][network])), strict=True
        ):
            np.testing.assert_array_equal(before, now)
    assert not [name for name in metrics if name.startswith("flow_phase")]


def test_a_run_whose_camera_is_solved_leaves_the_pose_network_alone():
    config = toy_config(objective=ObjectiveConfig(camera="path", learn_intrinsics=False))
    assert "pose" not in trained_groups(config)
    assert "pose" in trained_groups(toy_config())
