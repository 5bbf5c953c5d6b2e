"""Small networks' weights under PyTorch's names, for tests."""

import functools

import jax
import numpy as np

from endodav_jax.conversion import motion_names
from endodav_jax.conversion.names import fixed_tables, params_from_torch, torch_from_params
from endodav_jax.models import DepthModelConfig, abstract_params

VDA = DepthModelConfig.vda("vitt")
ENDODAV = DepthModelConfig.endodav("vitt")
ENDODAC = DepthModelConfig.endodac("vitt")
DEPTH_ANYTHING = DepthModelConfig.endodac("vitt", adapter="none", head="single", residual_blocks=(), normalise=True)


@functools.cache
def params_of(config: DepthModelConfig) -> dict:
    """Random weights of a depth network."""
    return _random(abstract_params(config))


def state_dict_of(config: DepthModelConfig) -> dict[str, np.ndarray]:
    """The same as its published program saves them."""
    return torch_from_params(params_of(config), config) | fixed_tables(config)


@functools.cache
def motion_params() -> dict:
    """Random weights of the four motion networks."""
    networks = {file.network for file in motion_names.MOTION_FILES.values()}
    return {network: _random(motion_names.abstract_motion_params(network)) for network in sorted(networks)}


def motion_state_dicts() -> dict[str, dict[str, np.ndarray]]:
    """File -> state dict of the motion networks."""
    return {file: motion_names.torch_from_motion_params(file, motion_params()) for file in motion_names.MOTION_FILES}


def _random(shapes) -> dict:
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: (0.1 * rng.standard_normal(leaf.shape)).astype(np.float32), shapes)


def base_of(config: DepthModelConfig, base: DepthModelConfig) -> dict:
    """Weights that the network of `config` can have been fine-tuned from: other output convolutions, no adapters."""
    state = torch_from_params(params_of(base), base)
    tuned = torch_from_params(params_of(config), config)
    state |= {name: value for name, value in tuned.items() if name in state and "output_conv" not in name}
    return params_from_torch(state, base)


def assert_same_tensors(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], in_order: bool = True) -> None:
    """Names, their order (which safetensors files do not keep), types and every bit."""
    assert set(found) == set(expected)
    assert not in_order or list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value, err_msg=name)
