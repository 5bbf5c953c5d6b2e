"""The phase of a step is a function of its number alone, as in the published program."""

import dataclasses

import pytest

from endodav_jax.training.phases import PhaseSchedule, phase_of_step

MOTION = {"pose", "intrinsics", "transform"}
ENDODAV = frozenset({"spatial_adapters", "temporal_adapters", "output_convolutions"} | MOTION)
ENDODAC = frozenset({"spatial_adapters", "spatial_adapter_vectors", "depth_heads", "residual_blocks"} | MOTION)


def names(steps, schedule, available=ENDODAV):
    return [phase_of_step(step, schedule, available).name for step in steps]


def test_four_hundred_spatial_steps_and_a_hundred_temporal_ones_counted_from_one():
    phases = names(range(1, 1001), PhaseSchedule())
    assert phases == ["spatial"] * 399 + ["temporal"] * 100 + ["spatial"] * 400 + ["temporal"] * 100 + ["spatial"]


def test_each_phase_trains_its_own_adapters_and_everything_else_throughout():
    spatial, temporal = (phase_of_step(step, PhaseSchedule(), ENDODAV) for step in (399, 400))
    assert spatial.groups == ENDODAV - {"temporal_adapters"}
    assert temporal.groups == ENDODAV - {"spatial_adapters"}
    assert (spatial.projection, temporal.projection) == (False, True)


def test_without_temporal_adapters_every_step_is_spatial():
    assert set(names(range(1, 1001), PhaseSchedule(), ENDODAV - {"temporal_adapters"})) == {"spatial"}
    assert set(names(range(1, 1001), PhaseSchedule(temporal_steps=0))) == {"spatial"}


def test_joint_training_trains_all_adapters_with_the_projection_loss():
    phase = phase_of_step(1, PhaseSchedule(joint=True), ENDODAV)
    assert (phase.name, phase.groups, phase.projection) == ("joint", ENDODAV, True)


def test_dv_lora_trains_its_factors_up_to_the_last_warm_up_step_and_its_vectors_after_it():
    schedule = PhaseSchedule(warm_up_steps=20_000)
    before, after = (phase_of_step(step, schedule, ENDODAC).groups for step in (20_000, 20_001))
    assert before == ENDODAC - {"spatial_adapter_vectors"}
    assert after == ENDODAC - {"spatial_adapters"}


def test_adapters_without_vectors_go_on_after_the_warm_up():
    assert "spatial_adapters" in phase_of_step(30_001, PhaseSchedule(), ENDODAV).groups


def test_interval_training_takes_depth_and_motion_in_turn_motion_first():
    schedule = PhaseSchedule(depth_interval=3)
    assert names(range(1, 9), schedule) == ["motion"] * 2 + ["spatial"] * 3 + ["motion"] * 3
    assert phase_of_step(1, schedule, ENDODAV).groups == MOTION
    assert not phase_of_step(3, schedule, ENDODAV).groups & MOTION


def test_motion_networks_may_go_first_with_depth_at_rest_and_the_phases_are_counted_from_there():
    schedule = PhaseSchedule(spatial_steps=3, temporal_steps=2, motion_steps=4)
    assert names(range(1, 10), schedule) == ["motion"] * 4 + ["spatial"] * 2 + ["temporal"] * 2 + ["spatial"]
    first = phase_of_step(4, schedule, ENDODAV)
    assert (first.groups, first.projection) == (MOTION, False)


def test_a_phase_trains_nothing_that_the_network_lacks():
    available = frozenset({"spatial_adapters"})
    assert all(phase_of_step(step, PhaseSchedule(), available).groups <= available for step in (1, 450))


@pytest.mark.parametrize(
    "fields",
    [{"spatial_steps": -1}, {"spatial_steps": 0, "temporal_steps": 0}, {"depth_interval": -1}, {"motion_steps": -1}],
)
def test_lengths_that_make_no_sense_are_refused(fields):
    with pytest.raises(ValueError, match=r"train\.phases\.[a-z_]+: "):
        dataclasses.replace(PhaseSchedule(), **fields)
