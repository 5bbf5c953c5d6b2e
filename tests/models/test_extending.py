"""A family and an adapter of another package: what `docs/extending.md` says one adds is all that they need."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from endodav_jax.checkpoints import Card, apply_adapter, convert, load_model, save_adapter, save_model
from endodav_jax.checkpoints.shipped import load_shipped
from endodav_jax.config import Config
from endodav_jax.conversion.names import torch_from_params
from endodav_jax.data.config import DataConfig
from endodav_jax.geometry.resize import SCALES, halve_align_corners
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.models import DepthModelConfig, build_depth_model, depth_model_with, merge_adapters
from endodav_jax.models.adapters import AdaptedLinear, adapter_tensors
from endodav_jax.models.depth_input import network_input
from endodav_jax.models.groups import parameter_table, trainable_groups
from endodav_jax.models.layers import Numerics
from endodav_jax.models.registry import ADAPTERS, FAMILIES, Adapter, Family, register_adapter, register_family
from endodav_jax.models.tensor_names import CONV, Rule, adapted, same
from endodav_jax.training.config import TrainConfig
from endodav_jax.training.initial import initial_networks
from endodav_jax.training.phases import phase_of_step
from endodav_jax.training.step import TrainStep, new_state
from tests.training.toy import toy_batch

WIDTH = 8


class Encoder(nnx.Module):
    """A convolution and an adapted linear layer."""

    def __init__(self, config, numerics, rngs):
        self.conv = numerics.conv(3, WIDTH, 3, rngs)
        self.mix = AdaptedLinear(WIDTH, WIDTH, config, True, numerics, rngs)


class Head(nnx.Module):
    """One convolution."""

    def __init__(self, numerics, rngs):
        self.output = numerics.conv(WIDTH, 1, 3, rngs)


class Shallow(nnx.Module):
    """Depth of single frames by two convolutions: an `interface.FrameNetwork`."""

    def __init__(self, config, rngs, remat=False):
        numerics = Numerics.of(config.precision)
        self.config = config
        self.encoder = Encoder(config, numerics, rngs)
        self.head = Head(numerics, rngs)

    def frame_disparity(self, frames, view_mask=None):
        images = network_input(frames, view_mask, self.config.image_shape, self.config.normalise)
        features = self.encoder.mix(jax.nn.relu(self.encoder.conv(images)))
        return jax.nn.softplus(self.head.output(jax.nn.relu(features)))[..., 0]

    def disparity(self, frames, view_mask=None):
        masks = None if view_mask is None else jnp.repeat(view_mask, frames.shape[1], axis=0)
        disparity = self.frame_disparity(frames.reshape(-1, *frames.shape[2:]), masks)
        return disparity.reshape(*frames.shape[:2], *disparity.shape[1:])

    def __call__(self, frames, view_mask=None):
        pyramid = [self.disparity(frames, view_mask)[..., None]]
        for _ in range(SCALES - 1):
            pyramid.append(halve_align_corners(pyramid[-1]))
        return tuple(disparity[..., 0] for disparity in pyramid)


def shallow_names(config: DepthModelConfig) -> list[Rule]:
    """The network's tensors as its (imaginary) PyTorch program calls them."""
    return [
        Rule(CONV, "encoder.conv", "features.0"),
        Rule(adapted(adapter_tensors(config)), "encoder.mix", "features.2"),
        Rule(CONV, "head.output", "predict"),
    ]


SHALLOW = Family(
    name="shallow",
    title="Shallow",
    network=Shallow,
    windows=False,
    defaults={"adapter": "none", "temporal_adapter": False},
    trained_groups=frozenset({"spatial_adapters", "output_convolutions"}),
    tensor_names=shallow_names,
    licence=lambda preset: "Shallow: public domain",
)


class Gain(nnx.Module):
    """y = gain * W x + b, with the gain trained: an `interface.LinearAdapter`."""

    def __init__(self, n_out):
        self.gain = nnx.Param(jnp.ones((n_out,), jnp.float32))

    def __call__(self, x, product, bias):
        return product(x) * self.gain[...].astype(x.dtype) + bias


GAIN = Adapter(
    name="gain",
    build=lambda n_in, n_out, config, numerics, rngs: Gain(n_out),
    merge=lambda kernel, adapter, config: kernel * adapter["gain"],
    tensors={"gain": same("gain")},
    reads=lambda layer: 1 if "gain" in layer else None,
)


@pytest.fixture(autouse=True)
def registered():
    """Both are registered, as another package would when it is imported, and forgotten again."""
    register_family(SHALLOW)
    register_adapter(GAIN)
    yield
    del FAMILIES["shallow"], ADAPTERS["gain"]


def network(adapter: str = "none", seed: int = 0) -> tuple[DepthModelConfig, dict]:
    """The network with random weights, none of them zero."""
    config = DepthModelConfig.published("shallow", "vitt", image_shape=(28, 42), adapter=adapter)
    params = nnx.to_pure_dict(nnx.state(build_depth_model(config, nnx.Rngs(seed)), nnx.Param))
    rng = np.random.default_rng(seed)
    return config, jax.tree.map(lambda leaf: np.asarray(leaf + rng.normal(0, 0.1, leaf.shape), np.float32), params)


def frames(count: int) -> np.ndarray:
    """Random frames uint8."""
    return np.random.default_rng(1).integers(0, 256, (count, 40, 50, 3), np.uint8)


def run(config: DepthModelConfig, params: dict) -> np.ndarray:
    """Disparity of two frames by the network as it is, its adapters not merged."""
    model = depth_model_with(config, params)
    return np.asarray(model.frame_disparity(frames(2).astype(np.float32) / 255))


def test_a_registered_family_infers_and_streams():
    config, params = network()
    model = DepthEstimator(config, params)
    disparity = model.infer(frames(3))
    assert disparity.shape == (3, 40, 50)
    assert disparity.std() > 0
    stream = model.stream()
    np.testing.assert_allclose(np.stack([stream.push(frame) for frame in frames(3)]), disparity, rtol=1e-5)


def test_its_files_are_recognised_by_its_names_and_converted_both_ways(tmp_path):
    config, params = network()
    state = torch_from_params(params, config)
    layers = ("features.0", "features.2", "predict")
    assert set(state) == {f"{layer}.{tensor}" for layer in layers for tensor in ("weight", "bias")}
    save_file(state, tmp_path / "shallow.safetensors")
    card = convert(tmp_path / "shallow.safetensors", tmp_path / "network")
    assert (card.what, card.licence) == ("Shallow vitt", "Shallow: public domain")
    found, loaded, _ = load_model(tmp_path / "network")
    assert (found.family, found.adapter) == ("shallow", "none")
    jax.tree.map(np.testing.assert_array_equal, loaded["depth"], params)


def test_a_registered_adapter_is_trained_exported_applied_and_merged(tmp_path):
    config, params = network("gain")
    table = parameter_table(build_depth_model(config, nnx.Rngs(0)), trainable_groups(config))
    assert {count.group: count.trained for count in table} == {
        "backbone": False, "spatial_adapters": True, "output_convolutions": True,
    }  # fmt: skip
    save_adapter(tmp_path / "a.safetensors", config, params, Card("Shallow", "MIT"))
    plain = jax.tree.map(lambda leaf: leaf, params)
    del plain["encoder"]["mix"]["adapter"]
    base = dataclasses.replace(config, adapter="none")
    found, applied, _ = apply_adapter(base, plain, tmp_path / "a.safetensors")
    assert found == config
    jax.tree.map(np.testing.assert_array_equal, applied, params)

    merged_config, merged = merge_adapters(config, params)
    assert "adapter" not in merged["encoder"]["mix"]
    with_adapter, without = run(config, params), run(base, plain)
    np.testing.assert_allclose(run(merged_config, merged), with_adapter, rtol=1e-5)
    assert np.abs(without - with_adapter).max() > 1e-3


@pytest.mark.slow
def test_one_training_step_changes_its_trained_groups_and_nothing_else(tmp_path):
    config, params = network("gain")
    motion = {name: tree for name, tree in load_shipped()[1].items() if name != "depth"}
    save_model(tmp_path / "start", config, {"depth": params, **motion}, Card("a start", "MIT"))
    setup = Config(
        weights=str(tmp_path / "start"),
        model=config,
        data=DataConfig(clip_length=1),
        train=TrainConfig(resnet_layers=10),
    )
    start = initial_networks(setup, None)
    step = TrainStep(start.graphdef, setup.train, lambda number: np.float32(1) + 0 * number)
    state = new_state(start.trained, start.statistics, setup.train)
    batch = toy_batch(1, 1)
    batch = {key: value[:, :3] if key in ("frames", "frame_index") else value for key, value in batch.items()}
    phase = phase_of_step(1, setup.train.phases, frozenset(start.trained))
    after, metrics, _ = jax.jit(step, static_argnums=3)(state, start.frozen, batch, phase)
    assert bool(metrics["finite"])
    of_depth = {"spatial_adapters", "output_convolutions"}
    assert {group for group in phase.groups if group in of_depth} == of_depth
    for group, members in after["params"].items():
        changed = any(not np.array_equal(leaf, state["params"][group][path]) for path, leaf in members.items())
        assert changed == (group in phase.groups | {"flow"}), group
