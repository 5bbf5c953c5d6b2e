"""bfloat16 is for the networks' activations: losses stay near, parameters and what belongs to them stay float32."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.training.phases import PhaseSchedule, phase_of_step
from tests.training.toy import toy_batch, toy_config, toy_step, traced_phases

pytestmark = [pytest.mark.slow, pytest.mark.long]

LOSS_TOLERANCE = 0.05  # relative; bfloat16 has a precision of 0.004


@pytest.fixture(scope="module")
def runs():
    """precision -> (state after a step, its metrics), from the same start."""
    results = {}
    for precision in ("float32", "bfloat16"):
        config = toy_config(SHIPPED, resnet_layers=10, precision=precision, phases=PhaseSchedule(joint=True))
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, precision=precision))
        step, state, frozen = toy_step(config)
        phase = phase_of_step(1, config.train.phases, frozenset(state["params"]))
        program, traced = traced_phases(step)
        for number in (1, 2):
            state, metrics, _ = program(state, frozen, toy_batch(number, 1), phase)
            results.setdefault(precision, metrics)
        assert len(traced) == 1, "a state that comes back is the kind that went in"
        results[precision] = state, results[precision]
    return results


def test_losses_are_near_those_of_float32(runs):
    full, half = (runs[precision][1] for precision in ("float32", "bfloat16"))
    assert full.keys() == half.keys()
    for name in ("loss", "flow_phase/loss", "loss/loss_reprojection/0"):
        np.testing.assert_allclose(half[name], full[name], rtol=LOSS_TOLERANCE, err_msg=name)
    assert any(float(half[name]) != float(full[name]) for name in full), "the networks did compute in bfloat16"


def test_parameters_moments_and_statistics_stay_float32_and_finite(runs):
    state, metrics = runs["bfloat16"]
    assert bool(metrics["finite"])
    for part in ("params", "opt", "statistics"):
        for leaf in jax.tree.leaves(state[part]):
            assert leaf.dtype in (jnp.float32, jnp.int32), part
            assert np.isfinite(leaf).all(), part


def test_losses_and_norms_of_gradients_are_float32(runs):
    for precision in ("float32", "bfloat16"):
        metrics = runs[precision][1]
        assert {metrics[name].dtype for name in metrics if name not in ("finite", "skipped")} == {
            jnp.dtype(jnp.float32)
        }
