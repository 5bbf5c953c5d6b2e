"""EndoDAC's configuration by the same step: single frames, four heads, and DV-LoRA's switch after its warm-up."""

import dataclasses

import jax
import numpy as np
import pytest

from endodav_jax.models.config import DepthModelConfig
from endodav_jax.training.phases import PhaseSchedule, phase_of_step
from tests.training.toy import toy_batch, toy_config, toy_step

pytestmark = [pytest.mark.slow, pytest.mark.long]


def test_two_steps_across_the_warm_up_train_the_factors_and_then_the_vectors():
    config = toy_config(resnet_layers=10, phases=PhaseSchedule(warm_up_steps=1))
    config = dataclasses.replace(config, model=DepthModelConfig.endodac("vitt", image_shape=(28, 28)))
    step, start, frozen = toy_step(config)
    program = jax.jit(step, static_argnums=3)
    batch = toy_batch(1, clips=2)
    for name in ("frames", "frame_index"):
        batch[name] = batch[name][:, :3]  # clips of one frame and its two neighbours

    states = [start]
    for number in (1, 2):
        phase = phase_of_step(number, config.train.phases, frozenset(start["params"]))
        state, metrics, _ = program(states[-1], frozen, batch, phase)
        assert bool(metrics["finite"])
        assert float(metrics["loss/loss_depth_reproj/0"]) == 0.0, "a lone frame has no neighbour of known depth"
        states.append(state)

    throughout = {"depth_heads", "residual_blocks", "pose", "intrinsics", "transform", "flow"}
    for before, after, own in zip(states, states[1:], ("spatial_adapters", "spatial_adapter_vectors"), strict=False):
        assert changed(before["params"], after["params"]) == throughout | {own}


def changed(before, after) -> set[str]:
    """Names of groups with any leaf that differs."""
    return {
        group
        for group in before
        if any(not np.array_equal(before[group][path], after[group][path]) for path in before[group])
    }
