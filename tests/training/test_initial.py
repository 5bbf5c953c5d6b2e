"""What a run starts from: the checkpoint's weights where it has them, fresh ones where it lacks them."""

import jax
import numpy as np
import pytest

from endodav_jax.checkpoints.shipped import SHIPPED, load_shipped
from endodav_jax.training.initial import initial_networks
from endodav_jax.training.partition import flatten, join_groups
from tests.training.toy import toy_config


@pytest.fixture(scope="module")
def start():
    return initial_networks(toy_config(SHIPPED, resnet_layers=10), None)


def test_every_leaf_of_the_checkpoint_is_taken(start):
    found = flatten(join_groups(start.trained, start.frozen)) | flatten(start.statistics)
    shipped = flatten(load_shipped()[1])
    assert set(shipped) <= set(found)
    for path, leaf in shipped.items():
        np.testing.assert_array_equal(found[path], leaf, err_msg=path)


def test_what_it_lacks_are_adapters_and_they_change_nothing_yet(start):
    shipped = flatten(load_shipped()[1])
    fresh = {path: leaf for group in start.trained.values() for path, leaf in group.items() if path not in shipped}
    assert {path.split(".")[-1] for path in fresh} == {"scale_in", "scale_out"}
    assert all(isinstance(leaf, jax.Array) and (np.asarray(leaf) == 1).all() for leaf in fresh.values())
