"""The networks, as Flax NNX modules, channels last."""

from endodav_jax.models.build import (
    abstract_depth_model,
    abstract_params,
    build_depth_model,
    depth_model_with,
    merge_adapters,
)
from endodav_jax.models.config import BACKBONES, DepthModelConfig

__all__ = [
    "BACKBONES",
    "DepthModelConfig",
    "abstract_depth_model",
    "abstract_params",
    "build_depth_model",
    "depth_model_with",
    "merge_adapters",
]
