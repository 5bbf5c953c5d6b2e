"""Builds depth networks from a configuration: with initial weights, as shapes only, or with given weights."""

import dataclasses
import functools
from typing import Any, cast

from flax import nnx

from endodav_jax.models.adapters import merge_adapter
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.interface import FrameNetwork, WindowNetwork
from endodav_jax.models.registry import NO_ADAPTER


def build_depth_model(config: DepthModelConfig, rngs: nnx.Rngs, remat: bool = False) -> nnx.Module:
    """The network of `config` with weights initialised as published, an `interface.DepthNetwork`.

    `remat` as in `VideoDepth`.
    """
    return config.family_entry.network(config, rngs, remat)


def abstract_depth_model(config: DepthModelConfig, remat: bool = False) -> nnx.Module:
    """The network of `config` with shapes in place of weights, which costs no memory and no time."""
    return nnx.eval_shape(lambda: build_depth_model(config, nnx.Rngs(0), remat))


def abstract_params(config: DepthModelConfig) -> dict:
    """The weights' tree as nested dicts of `jax.ShapeDtypeStruct`."""
    return nnx.to_pure_dict(_abstract_parts(config, False)[1])


def depth_model_with(config: DepthModelConfig, params: dict, remat: bool = False) -> Any:
    """The network of `config` with `params`, a pure nested dict of all its weights, as they are (nothing is copied).

    A `FrameNetwork` or a `WindowNetwork`, as the family says; `frame_network` and `window_network` are sure of it.
    """
    return nnx.merge(_abstract_parts(config, remat)[0], params)


def frame_network(config: DepthModelConfig, params: dict) -> FrameNetwork:
    """`depth_model_with` for a family that processes each frame alone."""
    assert not config.family_entry.windows, config.family
    return cast(FrameNetwork, depth_model_with(config, params))


def window_network(config: DepthModelConfig, params: dict) -> WindowNetwork:
    """`depth_model_with` for a family that processes windows."""
    assert config.family_entry.windows, config.family
    return cast(WindowNetwork, depth_model_with(config, params))


@functools.cache
def _abstract_parts(config: DepthModelConfig, remat: bool) -> tuple[nnx.GraphDef, nnx.State]:
    """A network's structure and shapes.  Cached: building one takes seconds, and every trace of a program needs it."""
    return nnx.split(abstract_depth_model(config, remat))


def merge_adapters(config: DepthModelConfig, params: dict) -> tuple[DepthModelConfig, dict]:
    """The same function without adapters: each is folded into its kernel, which makes inference cheaper.

    Returns:
      The configuration without an adapter, and its weights; those without an adapter are not copied.
    """

    def merged(tree):
        if not isinstance(tree, dict):
            return tree
        if "adapter" in tree:
            return {"kernel": merge_adapter(tree["kernel"], tree["adapter"], config), "bias": tree["bias"]}
        return {name: merged(branch) for name, branch in tree.items()}

    return dataclasses.replace(config, adapter=NO_ADAPTER, temporal_adapter=False), merged(params)
