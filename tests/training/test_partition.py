"""Groups of parameters: sorted once, updated only in their phase, as PyTorch's Adam does."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from endodav_jax.training import partition

OPTIMISERS = {name: optax.scale_by_adam() for name in ("spatial_adapters", "temporal_adapters", "pose")}


def test_a_tree_survives_flattening_with_its_list_positions():
    tree = {"blocks": {0: {"kernel": 1.0}, 11: {"kernel": 2.0}}, "norm": {"scale": 3.0}}
    flat = partition.flatten(tree)
    assert flat == {"blocks.0.kernel": 1.0, "blocks.11.kernel": 2.0, "norm.scale": 3.0}
    assert partition.unflatten(flat) == tree


def test_groups_put_together_are_the_tree_again():
    tree = {"a": {"x": 1.0, "y": 2.0}, "b": {"x": 3.0}}
    groups = partition.split_by_group(tree, lambda path: path[-1])
    assert groups == {"x": {"a.x": 1.0, "b.x": 3.0}, "y": {"a.y": 2.0}}
    assert partition.join_groups(groups) == tree
    with pytest.raises(ValueError, match=r"a\.x belongs to two groups"):
        partition.join_groups(groups, {"x": {"a.x": 0.0}})


def test_a_group_without_gradients_is_returned_as_it_was():
    params = {"pose": {"k": jnp.ones(3)}, "spatial_adapters": {"k": jnp.ones(2)}}
    states = partition.init_optimiser(OPTIMISERS, params)
    rates = dict.fromkeys(params, jnp.float32(0.1))
    new, new_states = partition.apply_gradients(OPTIMISERS, rates, {"pose": {"k": jnp.ones(3)}}, states, params)
    assert new["spatial_adapters"]["k"] is params["spatial_adapters"]["k"]
    same = jax.tree.map(lambda a, b: a is b, new_states["spatial_adapters"], states["spatial_adapters"])
    assert all(jax.tree.leaves(same))
    assert not np.array_equal(new["pose"]["k"], params["pose"]["k"])


def test_twenty_steps_across_phases_are_those_of_torch_adam():
    """The numbers are `torch.optim.Adam`'s on the same losses, a group outside its phase having no gradient.

    Phases of 7 and 3 steps counted from 1, learning rate 1e-2 and from step 13 on 1e-3; see the loss below.
    """
    case = json.loads((Path(__file__).parent / "data" / "adam_across_phases.json").read_text())
    params = {group: {"v": jnp.asarray(v, jnp.float32)} for group, v in case["start"].items()}
    order = list(params)
    states = partition.init_optimiser(OPTIMISERS, params)

    def loss(active, others, step):
        values = [(active | others)[group]["v"] for group in order]
        squares = sum(jnp.sum((v - 0.3 * step * i) ** 2) * (1 + 0.1 * i) for i, v in enumerate(values))
        return squares + 0.05 * sum(jnp.sum(v) for v in values) ** 2

    for step, expected in enumerate(case["after_step"], start=1):
        names = {"pose", "temporal_adapters" if step % 10 >= 7 else "spatial_adapters"}
        others = {group: params[group] for group in order if group not in names}
        grads = jax.grad(loss)(partition.select(params, names), others, step)
        rates = dict.fromkeys(order, jnp.float32(1e-3 if step >= 13 else 1e-2))
        params, states = partition.apply_gradients(OPTIMISERS, rates, grads, states, params)
        for group in order:
            np.testing.assert_allclose(params[group]["v"], expected[group], rtol=2e-6, atol=2e-6, err_msg=f"{step}")
    counts = {group: int(states[group].inner_state.count) for group in order}
    assert counts == case["count"]
    assert counts == {"spatial_adapters": 14, "temporal_adapters": 6, "pose": 20}


def test_the_partition_of_a_set_of_groups_is_built_once():
    active = frozenset({"pose"})
    assert partition.partition_of(OPTIMISERS, active) is partition.partition_of(dict(OPTIMISERS), active)
    assert partition.partition_of(OPTIMISERS, frozenset()) is not partition.partition_of(OPTIMISERS, active)
