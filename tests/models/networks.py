"""Tiny networks (4 blocks, so that they compile quickly) with random weights: initial ones hide what starts at zero."""

import functools
import zlib

import jax
import numpy as np

from endodav_jax.models import BACKBONES, DepthModelConfig, abstract_params, depth_model_with
from endodav_jax.models.config import Backbone

SHAPE = (56, 84)
TINY = "tiny"
QUICK_TO_COMPILE = {"xla_backend_optimization_level": 0}  # half the time, for programs that run but a few times
BACKBONES[TINY] = Backbone(
    width=64, depth=4, heads=2, taps=(0, 1, 2, 3), head_features=32, head_channels=(8, 16, 32, 64)
)

VDA = DepthModelConfig.vda(TINY, image_shape=SHAPE)
SSB = DepthModelConfig.endodav(TINY, image_shape=SHAPE)
LORA = DepthModelConfig.endodav(TINY, image_shape=SHAPE, adapter="lora")
DVLORA = DepthModelConfig.endodav(TINY, image_shape=SHAPE, adapter="dvlora")
MULTI = DepthModelConfig.endodav(TINY, image_shape=SHAPE, head="multi")
ENDODAC = DepthModelConfig.endodac(TINY, image_shape=SHAPE, residual_blocks=(1, 3))
IMAGE = DepthModelConfig.endodac(
    TINY, image_shape=SHAPE, head="single", adapter="none", residual_blocks=(), normalise=True
)

ALL = {"vda": VDA, "ssb": SSB, "lora": LORA, "dvlora": DVLORA, "multi": MULTI, "endodac": ENDODAC, "image": IMAGE}


@functools.cache
def random_params(config: DepthModelConfig) -> dict:
    """Weights drawn by path: kernels of variance 1/fan-in, scales about one, the rest small."""

    def draw(path, leaf):
        name = jax.tree_util.keystr(path)
        unit = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(leaf.shape)
        if name.endswith(("['scale']", "['scale_in']", "['scale_out']")):
            value = 1 + 0.1 * unit
        elif "layer_scale" in name:
            value = 0.2 + 0.02 * unit
        elif "lora" in name:
            value = 0.1 * unit
        elif len(leaf.shape) > 1 and "kernel" in name:
            value = unit / np.sqrt(np.prod(leaf.shape[:-1]))
        else:
            value = 0.05 * unit
        return value.astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, abstract_params(config))


def frames(batch: int, length: int, height: int = 60, width: int = 80, seed: int = 0) -> np.ndarray:
    """Random frames in [0, 1], float32 [B,T,H,W,3]."""
    return np.random.default_rng(seed).random((batch, length, height, width, 3), np.float32)


@functools.cache
def compiled(config: DepthModelConfig, function):
    """`function(model, *arrays)` as a program of (weights, *arrays)."""
    return jax.jit(
        lambda params, *arrays: function(depth_model_with(config, params), *arrays),
        compiler_options=QUICK_TO_COMPILE,
    )


def run(config: DepthModelConfig, function, *arrays, params: dict | None = None):
    """`function(model, *arrays)` of the network with random weights, or with `params`."""
    return compiled(config, function)(random_params(config) if params is None else params, *arrays)
