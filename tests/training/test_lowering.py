"""A whole training step as accelerators get it: lowered for GPUs and TPUs, which no test can compile it for."""

import dataclasses

import jax
import pytest
from jax import export

from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.models.platform import traced_for
from endodav_jax.training.phases import PhaseSchedule, phase_of_step
from tests.training.toy import toy_batch, toy_config, toy_step


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_step_lowers_for_gpus_and_tpus(precision):
    config = toy_config(SHIPPED, resnet_layers=10, precision=precision)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, precision=precision))
    step, state, frozen = toy_step(config)
    phase = phase_of_step(1, PhaseSchedule(), frozenset(state["params"]))

    def one_step(state, frozen, batch):
        return step(state, frozen, batch, phase)

    with traced_for("gpu"):
        exported = export.export(jax.jit(one_step), platforms=["cuda", "tpu"])(state, frozen, toy_batch(0, clips=1))
    assert exported.platforms == ("cuda", "tpu")
    shapes = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state)]
    assert [(leaf.shape, leaf.dtype) for leaf in exported.out_avals[: len(shapes)]] == shapes
    assert ("bf16" in exported.mlir_module()) == (precision == "bfloat16")
