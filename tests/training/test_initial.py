"""What a run starts from: the checkpoint's weights where it has them, fresh ones where it lacks them."""

import dataclasses

import jax
import numpy as np
import pytest

from endodav_jax.checkpoints import Card, load_model, save_model
from endodav_jax.checkpoints.shipped import SHIPPED, load_shipped
from endodav_jax.checkpoints.transfer import Networks
from endodav_jax.config import Config, read_config
from endodav_jax.errors import UserError
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.training import initial
from endodav_jax.training.initial import check_weights, initial_networks
from endodav_jax.training.loop import train
from endodav_jax.training.partition import flatten, join_groups
from tests.training.toy import toy_config

SHIPPED_NETWORKS = {"model": DepthModelConfig.endodav("vitt", image_shape=(28, 28)), "resnet_layers": 10}


def finetune_published(model: DepthModelConfig | None = None, **train) -> Config:
    """The configuration from the shipped weights, with another network or fields of `train`."""
    config = read_config("finetune_published")
    train = dataclasses.replace(config.train, **train)
    return dataclasses.replace(config, weights=SHIPPED, model=model or config.model, train=train)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (
            finetune_published(),
            "shipped: networks of other sizes .*; set config.model.preset=vitt, config.train.resnet_layers=10$",
        ),
        (finetune_published(SHIPPED_NETWORKS["model"]), "; set config.train.resnet_layers=10$"),
        (finetune_published(resnet_layers=10), "; set config.model.preset=vitt$"),
    ],
)
def test_weights_of_other_sizes_say_which_fields_to_set_before_anything_is_written(config, line, tmp_path):
    data = dataclasses.replace(config.data, path=str(tmp_path))
    with pytest.raises(UserError, match=line):
        train(dataclasses.replace(config, data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    check_weights(finetune_published(**SHIPPED_NETWORKS))


def test_weights_for_the_resnets_that_are_no_resnet_are_refused_before_anything_is_written(tmp_path):
    config = finetune_published(**SHIPPED_NETWORKS)
    train_section = dataclasses.replace(config.train, resnet_weights=SHIPPED)
    with pytest.raises(UserError, match=r"config\.train\.resnet_weights: shipped is .*, not a ResNet"):
        check_weights(dataclasses.replace(config, train=train_section))


def test_registration_that_the_weights_lack_cannot_be_kept(tmp_path):
    model, params, card = load_model(SHIPPED)
    save_model(tmp_path / "depth", model, {"depth": params["depth"]}, card)
    config = dataclasses.replace(finetune_published(**SHIPPED_NETWORKS), weights=str(tmp_path / "depth"))
    check_weights(config)
    objective = dataclasses.replace(config.train.objective, learn_registration=False)
    kept = dataclasses.replace(config, train=dataclasses.replace(config.train, objective=objective))
    with pytest.raises(UserError, match=r"has no networks flow and transform .*learn_registration=True"):
        check_weights(kept)
    check_weights(dataclasses.replace(kept, weights=SHIPPED))


def test_weights_of_motion_networks_alone_fit_any_depth_network(monkeypatch):
    alone = Networks(None, {"flow": {}, "transform": {}}, Card("motion networks", "none"), None)
    monkeypatch.setattr(initial, "load_networks", lambda source: alone)
    check_weights(finetune_published())


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


def test_weights_are_made_where_jax_has_no_processor_of_its_own(monkeypatch):
    def accelerators_alone(backend=None, **_):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(initial.jax, "local_devices", accelerators_alone)
    start = initial_networks(toy_config(SHIPPED, resnet_layers=10), None)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(start.trained))
