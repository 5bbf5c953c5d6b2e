"""Every parameter is in exactly one group, and the published ones are trained."""

import dataclasses

import pytest
from flax import nnx

from endodav_jax import cli
from endodav_jax.models import DepthModelConfig, abstract_depth_model
from endodav_jax.models.groups import GROUPS, group_of, parameter_table, trainable_groups
from endodav_jax.models.training_networks import MOTION_NETWORKS, TrainingNetworks
from endodav_jax.training.config import LearningRates

COUNTS = {
    "endodav": (191_489, 114_540_609),
    "endodac": (1_667_076, 99_091_748),
    "vda": (0, 114_441_409),
}


@pytest.mark.parametrize("family", COUNTS)
def test_the_table_adds_up_to_the_published_counts(family):
    config = getattr(DepthModelConfig, family)("vitb")
    table = parameter_table(abstract_depth_model(config), trainable_groups(config))
    trained = sum(count.parameters for count in table if count.trained)
    assert (trained, sum(count.parameters for count in table)) == COUNTS[family]


@pytest.mark.parametrize("adapter", ["ssb", "lora", "dvlora"])
def test_every_parameter_of_a_training_run_is_in_one_known_group(adapter):
    config = DepthModelConfig.endodav("vitt", adapter=adapter)
    networks = nnx.eval_shape(lambda: TrainingNetworks(config, nnx.Rngs(0)))
    state = nnx.to_flat_state(nnx.state(networks, nnx.Param))
    groups = {path: group_of(path) for path, _ in state}
    assert set(groups.values()) <= set(GROUPS)
    for network in MOTION_NETWORKS:
        assert {group for path, group in groups.items() if path[0] == network} <= {network, "unused"}
    depth = nnx.to_flat_state(nnx.state(abstract_depth_model(config), nnx.Param))
    assert {path: group_of(path) for path, _ in depth} == {
        path[1:]: group for path, group in groups.items() if path[0] == "depth"
    }


def test_adapters_of_encoder_and_motion_modules_are_told_apart():
    spatial = ("encoder", "blocks", 3, "mlp", "fc1", "adapter")
    temporal = ("head", "motion_modules", 0, "feed_forward", "project_out", "adapter")
    assert group_of((*spatial, "scale_in")) == "spatial_adapters"
    assert group_of((*temporal, "lora_b")) == "temporal_adapters"
    assert group_of((*spatial, "lora_u")) == "spatial_adapter_vectors"
    assert group_of((*temporal, "lora_v")) == "temporal_adapter_vectors"


def test_roles_say_when_a_group_trains_and_rates_exist_for_those_that_do():
    trained = {name for name, group in GROUPS.items() if group.trainable}
    assert set(GROUPS) - trained == {"backbone", "unused"}
    assert {field.name for field in dataclasses.fields(LearningRates)} == trained
    late = {name: group.takes_over for name, group in GROUPS.items() if group.takes_over}
    assert all(GROUPS[name].role == GROUPS[first].role for name, first in late.items())


def test_a_parameter_nobody_claims_is_an_error():
    with pytest.raises(KeyError, match=r"no group claims the parameter somewhere\.kernel"):
        group_of(("somewhere", "kernel"))


def test_describe_prints_the_published_share(capsys):
    assert cli.main(["describe", "--config", "configs/endodav_vitb_scared.py"]) == 0
    assert "191,489 trainable of 114,540,609 (0.17%)" in capsys.readouterr().out
    assert cli.main(["describe", "--family", "endodac", "--preset", "vitb"]) == 0
    assert "1,667,076 trainable of 99,091,748 (1.68%)" in capsys.readouterr().out


def test_describe_asks_for_one_network(capsys):
    assert cli.main(["describe"]) == 2
    assert "--config FILE or --family NAME" in capsys.readouterr().err
