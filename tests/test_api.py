"""What the top of the package offers, as its docstring and the README use it."""

import dataclasses

import numpy as np
import pytest

import endodav_jax
from endodav_jax.config import Config
from endodav_jax.data.config import PhantomData
from endodav_jax.errors import EXIT_PREEMPTED
from endodav_jax.evaluation.config import EvaluateConfig


def test_every_name_is_there():
    assert all(getattr(endodav_jax, name) is not None for name in endodav_jax.__all__)
    assert set(endodav_jax.__all__) <= set(dir(endodav_jax))
    with pytest.raises(AttributeError, match="has no attribute 'depth'"):
        _ = endodav_jax.depth


def test_without_a_path_it_is_the_shipped_network_with_its_card():
    model = endodav_jax.load()
    assert isinstance(model, endodav_jax.DepthEstimator)
    assert isinstance(model.card, endodav_jax.Card)
    assert "phantom" in model.card.what
    assert model.config.preset == "vitt"


def test_depth_is_that_of_the_disparity_and_nothing_outside_the_view(monkeypatch):
    model = endodav_jax.load()
    disparity = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    monkeypatch.setattr(model, "infer", lambda *_: disparity)
    np.testing.assert_allclose(model.infer_depth([]), endodav_jax.depth_from_disparity(disparity))
    view = np.zeros((3, 4), bool)
    view[1] = True
    depth = model.infer_depth([], view_mask=view)
    assert (depth[:, ~view] == 0).all()
    np.testing.assert_allclose(depth[:, view], endodav_jax.depth_from_disparity(disparity)[:, view])


def test_a_missing_checkpoint_is_a_user_error():
    with pytest.raises(endodav_jax.UserError, match="nowhere"):
        endodav_jax.load("nowhere")


def test_train_and_evaluate_take_a_configuration_and_a_folder(tmp_path, monkeypatch):
    config = endodav_jax.read_config("smoke")
    assert isinstance(config, endodav_jax.Config)
    asked = []
    monkeypatch.setattr("endodav_jax.training.loop.train", lambda *args: asked.append(args[:2]) or EXIT_PREEMPTED)
    given = dataclasses.replace(
        config, data=dataclasses.replace(config.data, phantom=PhantomData(), path=str(tmp_path))
    )
    assert endodav_jax.train(given, str(tmp_path)) == EXIT_PREEMPTED
    assert asked == [(given, tmp_path)]
    with pytest.raises(endodav_jax.UserError, match=r"config\.evaluate\.path: empty"):
        endodav_jax.evaluate(Config(weights="shipped"), tmp_path)
    with pytest.raises(endodav_jax.UserError, match="name one"):
        endodav_jax.evaluate(Config(weights="shipped", evaluate=EvaluateConfig(predictions="x")), tmp_path)


def test_evaluate_steadies_depth_where_its_section_says_so(tmp_path, monkeypatch):
    from endodav_jax.reconstruction.steady import steady_sequence

    asked = []
    monkeypatch.setattr("endodav_jax.report.evaluate.evaluate", lambda *args: asked.append(args[2]))
    for steady in (False, True):
        endodav_jax.evaluate(Config(weights="shipped", evaluate=EvaluateConfig(steady=steady)), tmp_path)
    assert asked == [None, steady_sequence]
    monkeypatch.undo()
    steadied = EvaluateConfig(predictions="x", steady=True)
    with pytest.raises(endodav_jax.UserError, match="--predictions: are evaluated unchanged; omit --steady"):
        endodav_jax.evaluate(Config(evaluate=steadied), tmp_path)
