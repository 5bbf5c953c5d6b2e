"""Small networks with weights that make every part count, for tests of what surrounds them."""

import functools

import jax
import numpy as np

from endodav_jax.models import DepthModelConfig, abstract_params

IMAGE_SHAPE = (28, 42)


@functools.cache
def small_config(family: str) -> DepthModelConfig:
    """The smallest preset, at 2 x 3 patches."""
    return getattr(DepthModelConfig, family)("vitt", image_shape=IMAGE_SHAPE)


@functools.cache
def small_params(family: str) -> dict:
    """Weights without zeros and ones (as initialised, motion modules and adapters would do nothing)."""
    rng = np.random.default_rng(0)

    def weights(path, leaf) -> np.ndarray:
        noise = rng.standard_normal(leaf.shape).astype(np.float32)
        if leaf.ndim > 1:
            return noise / np.sqrt(np.float32(np.prod(leaf.shape[:-1])))
        centre = {"scale": 1, "scale_in": 1, "scale_out": 1, "layer_scale1": 0.3, "layer_scale2": 0.3}
        return np.float32(centre.get(path[-1].key, 0)) + np.float32(0.1) * noise

    params = jax.tree.map_with_path(weights, abstract_params(small_config(family)))
    if family != "endodac":  # the last rectifier must not cut everything off
        params["head"]["output"]["conv3"]["bias"] += np.float32(3)
    return params
