"""The networks, as Flax NNX modules, channels last."""

from endodav_jax.models.build import (
    abstract_depth_model,
    abstract_params,
    build_depth_model,
    depth_model_with,
    frame_network,
    merge_adapters,
    window_network,
)
from endodav_jax.models.config import BACKBONES, DepthModelConfig
from endodav_jax.models.families import FAMILIES

__all__ = [
    "BACKBONES",
    "FAMILIES",
    "DepthModelConfig",
    "abstract_depth_model",
    "abstract_params",
    "build_depth_model",
    "depth_model_with",
    "frame_network",
    "merge_adapters",
    "window_network",
]
