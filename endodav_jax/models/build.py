"""Depth networks by configuration: with weights, as shapes alone, and with weights of elsewhere put in."""

import dataclasses
import functools

from flax import nnx

from endodav_jax.models.adapters import low_rank_scale, merge_adapter
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.endodac import EndoDAC
from endodav_jax.models.video_depth import VideoDepth

DepthModel = VideoDepth | EndoDAC


def build_depth_model(config: DepthModelConfig, rngs: nnx.Rngs, remat: bool = False) -> DepthModel:
    """The network of `config` with weights initialised as published; `remat` as in `VideoDepth`."""
    return (EndoDAC if config.family == "endodac" else VideoDepth)(config, rngs, remat)


def abstract_depth_model(config: DepthModelConfig, remat: bool = False) -> DepthModel:
    """The network of `config` with shapes in place of weights: no memory, no time."""
    return nnx.eval_shape(lambda: build_depth_model(config, nnx.Rngs(0), remat))


def abstract_params(config: DepthModelConfig) -> dict:
    """The weights' tree as nested dicts of `jax.ShapeDtypeStruct`."""
    return nnx.to_pure_dict(_abstract_parts(config, False)[1])


def depth_model_with(config: DepthModelConfig, params: dict, remat: bool = False) -> DepthModel:
    """The network of `config` with `params`, a pure nested dict of all its weights, as they are (nothing is copied)."""
    return nnx.merge(_abstract_parts(config, remat)[0], params)


@functools.cache
def _abstract_parts(config: DepthModelConfig, remat: bool) -> tuple[nnx.GraphDef, nnx.State]:
    """A network's structure and shapes.  Kept: building one takes seconds, and every program that is traced asks."""
    return nnx.split(abstract_depth_model(config, remat))


def merge_adapters(config: DepthModelConfig, params: dict) -> tuple[DepthModelConfig, dict]:
    """The same function without adapters: each is folded into its kernel, which makes inference cheaper.

    Returns:
      The configuration with `adapter="none"`, and its weights; those without an adapter are not copied.
    """
    scale = low_rank_scale(config)

    def merged(tree):
        if not isinstance(tree, dict):
            return tree
        if "adapter" in tree:
            return {"kernel": merge_adapter(tree["kernel"], tree["adapter"], scale), "bias": tree["bias"]}
        return {name: merged(branch) for name, branch in tree.items()}

    return dataclasses.replace(config, adapter="none", temporal_adapter=False), merged(params)
