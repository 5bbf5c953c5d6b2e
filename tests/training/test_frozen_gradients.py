"""Gradients of frozen weights are no part of the program: shown by its operations, before any are optimised away."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from endodav_jax.models import DepthModelConfig, build_depth_model
from endodav_jax.models.groups import group_of
from endodav_jax.training.partition import join_groups, select, split_by_group

FRAMES = jax.ShapeDtypeStruct((1, 2, 28, 28, 3), jnp.float32)


@pytest.fixture(scope="module")
def operations():
    """names of groups, or None for a forward pass alone -> operations of the program as it goes to the compiler."""
    config = DepthModelConfig.endodav("vitt", image_shape=(28, 28))
    model = nnx.eval_shape(lambda: build_depth_model(config, nnx.Rngs(0)))
    graphdef, state = nnx.split(model)
    groups = split_by_group({"depth": nnx.to_pure_dict(state)}, group_of)

    def of(names):
        trained = select(groups, groups if names == "all" else names or ())
        others = {group: members for group, members in groups.items() if group not in trained}

        def loss(trained, others, frames):
            tree = join_groups(trained, others)["depth"]
            return nnx.merge(graphdef, tree).disparity(frames).sum()

        function = jax.grad(loss) if names else loss
        return jax.jit(function).lower(trained, others, FRAMES).cost_analysis()["flops"]

    return of


@pytest.mark.slow
def test_adapters_cost_one_backward_pass_and_no_gradient_of_a_frozen_weight(operations):
    forward, adapters, everything = operations(None), operations({"spatial_adapters"}), operations("all")
    # A product's forward pass, the gradient of its input and that of its weights take as much each.
    assert adapters < 2.3 * forward
    assert everything > 2.7 * forward


@pytest.mark.slow
def test_temporal_adapters_need_no_backward_pass_through_the_encoder(operations):
    assert operations({"temporal_adapters"}) < 0.9 * operations({"spatial_adapters"})
