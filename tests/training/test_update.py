"""What a step does with gradients: rates, clipping, averages, and whose turn it is.  The objectives are stand-ins."""

import dataclasses
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.training.config import LearningRates, TrainConfig
from endodav_jax.training.depth_objective import Pictures
from endodav_jax.training.phases import PhaseSchedule, phase_of_step
from endodav_jax.training.step import Objectives, TrainStep, learning_rate_factor, new_state
from tests.training.toy import traced_phases

# Every parameter's gradient: constant, so that Adam's every step is the learning rate.
GRADIENTS = {"flow": 3.0, "pose": -4.0, "spatial_adapters": 12.0, "spatial_adapter_vectors": 2.0,
             "temporal_adapters": 5.0, "output_convolutions": 1.0}  # fmt: skip
PICTURES = Pictures(*[jnp.zeros((2, 1))] * len(Pictures._fields))


class Aux(NamedTuple):
    """What both objectives give besides their loss, as far as a step looks at it."""

    losses: dict
    statistics: dict
    pictures: Pictures
    health: dict


def weighted_sum(trainable, others, statistics, clip, **options):
    """The stand-in: each parameter times its gradient."""
    del others, clip, options
    total = sum(GRADIENTS[name] * leaf.sum() for name, leaf in trainable.items())
    return total, Aux({"loss": total}, statistics, PICTURES, {})


STAND_INS = Objectives(flow=weighted_sum, depth=weighted_sum, batch=lambda batch: batch)


def run(config: TrainConfig, steps: int, groups=tuple(GRADIENTS), factor=lambda step: jnp.ones_like(step, float)):
    """Returns the states before and after each step, and the metrics of the last."""
    params = {group: {group: jnp.full((2,), 0.5, jnp.float32)} for group in groups}
    states, metrics = [new_state(params, {}, config)], {}
    step = TrainStep(None, config, factor, objectives=STAND_INS)
    for number in range(1, steps + 1):
        phase = phase_of_step(number, config.phases, frozenset(groups))
        state, metrics, _ = step(states[-1], {}, {}, phase)
        states.append(state)
    return states, metrics


def moved(states, group: str) -> list[float]:
    """How far a group's first parameter went in each step."""
    values = [float(state["params"][group][group][0]) for state in states]
    return [after - before for before, after in itertools.pairwise(values)]


def test_every_group_has_its_own_learning_rate():
    rates = LearningRates(flow=1e-2, pose=1e-3, spatial_adapters=1e-4)
    states, _ = run(TrainConfig(learning_rates=rates), 1)
    for group, wanted in (("flow", -1e-2), ("pose", 1e-3), ("spatial_adapters", -1e-4)):
        np.testing.assert_allclose(moved(states, group), wanted, rtol=1e-3)


def test_the_schedule_is_a_factor_of_every_rate():
    config = TrainConfig(drop_epoch=1, drop_factor=0.1)
    states, _ = run(config, 3, factor=learning_rate_factor(config, total_steps=3, steps_per_epoch=2))
    for group, gradient in (("flow", 1), ("pose", -1)):
        np.testing.assert_allclose(moved(states, group), np.multiply(-gradient, [1e-4, 1e-4, 1e-5]), rtol=1e-2)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [("step", [1, 1, 1, 1, 0.1, 0.1]), ("constant", [1] * 6), ("cosine", [1, 0.933, 0.75, 0.5, 0.25, 0.067])],
)
def test_the_rates_of_an_epoch_of_two_steps_that_drop_after_the_second_epoch(schedule, factors):
    config = TrainConfig(schedule=schedule, drop_epoch=2)
    factor = learning_rate_factor(config, total_steps=6, steps_per_epoch=2)
    np.testing.assert_allclose([factor(jnp.int32(step)) for step in range(1, 7)], factors, atol=1e-3)


def test_gradients_of_an_update_are_clipped_together_and_their_norms_are_those_before():
    states, metrics = run(TrainConfig(clip_norm=1.0), 1)
    norms = {group: np.sqrt(2) * abs(value) for group, value in GRADIENTS.items()}
    second = ("pose", "spatial_adapters", "output_convolutions")
    for group in ("flow", *second):
        np.testing.assert_allclose(metrics[f"gradient_norm/{group}"], norms[group], rtol=1e-6)
    total = np.sqrt(sum(norms[group] ** 2 for group in second))
    for group, scale in (("flow", norms["flow"]), ("pose", total), ("spatial_adapters", total)):
        first_moment = states[-1]["opt"][group].inner_state.mu[group][group]
        np.testing.assert_allclose(first_moment, 0.1 * GRADIENTS[group] / scale, rtol=1e-5)


def test_gradients_below_the_norm_are_left_alone():
    states, _ = run(TrainConfig(clip_norm=100.0), 1)
    np.testing.assert_allclose(states[-1]["opt"]["flow"].inner_state.mu["flow"]["flow"], 0.3, rtol=1e-6)


def test_averaged_weights_follow_at_their_decay():
    states, _ = run(TrainConfig(ema_decay=0.75), 3)
    average = np.float32(0.5)
    for state in states[1:]:
        average = 0.75 * average + 0.25 * np.asarray(state["params"]["pose"]["pose"])
        np.testing.assert_allclose(state["ema"]["pose"]["pose"], average, rtol=1e-6)
    assert states[-1]["ema"].keys() == states[-1]["params"].keys()


def test_without_a_decay_no_averages_are_kept():
    states, _ = run(TrainConfig(), 1)
    assert states[-1]["ema"] == {}


def counts(states) -> dict[str, int]:
    """How often Adam updated each group."""
    return {group: int(state.inner_state.count) for group, state in states[-1]["opt"].items()}


def test_interval_training_moves_depth_and_camera_in_turn_and_the_flow_always():
    schedule = PhaseSchedule(depth_interval=2, temporal_steps=0)
    groups = ("flow", "pose", "spatial_adapters", "output_convolutions")
    states, _ = run(TrainConfig(phases=schedule), 6, groups)
    turns = {group: [bool(step) for step in moved(states, group)] for group in groups}
    assert turns["flow"] == [True] * 6
    assert turns["pose"] == [True, False, False, True, True, False]
    assert turns["spatial_adapters"] == turns["output_convolutions"] == [not turn for turn in turns["pose"]]
    assert counts(states) == {"flow": 6, "pose": 3, "spatial_adapters": 3, "output_convolutions": 3}


def test_joint_training_moves_spatial_and_temporal_adapters_in_every_step():
    states, _ = run(TrainConfig(phases=PhaseSchedule(joint=True)), 2)
    assert counts(states)["spatial_adapters"] == counts(states)["temporal_adapters"] == 2


def test_dv_lora_hands_over_from_factors_to_vectors_after_the_warm_up():
    groups = ("flow", "pose", "spatial_adapters", "spatial_adapter_vectors")
    states, _ = run(TrainConfig(phases=PhaseSchedule(warm_up_steps=2)), 5, groups)
    assert counts(states) == {"flow": 5, "pose": 5, "spatial_adapters": 2, "spatial_adapter_vectors": 3}
    assert [bool(step) for step in moved(states, "spatial_adapters")] == [True, True, False, False, False]


def test_a_switch_of_phase_compiles_once_more_and_coming_back_does_not():
    config = TrainConfig(phases=PhaseSchedule(spatial_steps=2, temporal_steps=2))
    params = {group: {group: jnp.zeros(2)} for group in GRADIENTS}
    step = TrainStep(None, config, learning_rate_factor(config, 8, 8), objectives=STAND_INS)
    program, traced = traced_phases(step)
    state = new_state(params, {}, config)
    for number in range(1, 9):
        state, _, _ = program(state, {}, {}, phase_of_step(number, config.phases, frozenset(GRADIENTS)))
    assert traced == ["spatial", "temporal"]
    dtypes = {leaf.dtype for leaf in jax.tree.leaves(state)}
    assert dtypes == {jnp.dtype(jnp.float32), jnp.dtype(jnp.int32)}
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))


def test_every_group_has_a_learning_rate_of_its_own_in_the_configuration():
    from endodav_jax.models.groups import GROUPS

    untrained = {"backbone", "unused"}
    assert {field.name for field in dataclasses.fields(LearningRates)} == set(GROUPS) - untrained
