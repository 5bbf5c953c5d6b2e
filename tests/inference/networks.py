"""Small networks with weights that make every part count, for tests of what surrounds them."""

import functools

import jax
import numpy as np

from endodav_jax.models import DepthModelConfig, abstract_params

IMAGE_SHAPE = (28, 42)

# (centre, deviation) of vectors; biases and all others lie around 0.
BESIDES_KERNELS = {
    "scale": (1.0, 0.1),
    "scale_in": (1.0, 0.1),
    "scale_out": (1.0, 0.1),
    "layer_scale1": (0.1, 0.03),
    "layer_scale2": (0.1, 0.03),
}


@functools.cache
def small_config(family: str) -> DepthModelConfig:
    """The smallest preset, at 2 x 3 patches."""
    return getattr(DepthModelConfig, family)("vitt", image_shape=IMAGE_SHAPE)


@functools.cache
def small_params(family: str) -> dict:
    """`lively_params` of the family's small network."""
    return lively_params(small_config(family))


def lively_params(config: DepthModelConfig) -> dict:
    """Weights that are neither zero nor one (as initialised, motion modules and adapters would do nothing).

    Layer scale and the motion modules' kernels are small, as trained ones are; otherwise twelve random blocks and
    their attentions amplify rounding beyond what tests can tell from a fault.
    """
    rng = np.random.default_rng(0)

    def weights(path, leaf) -> np.ndarray:
        noise = rng.standard_normal(leaf.shape, np.float32)
        if leaf.ndim > 1:
            gain = 0.5 if any(step == jax.tree_util.DictKey("motion_modules") for step in path) else 1.0
            return noise * np.float32(gain / np.sqrt(np.prod(leaf.shape[:-1])))
        centre, deviation = BESIDES_KERNELS.get(path[-1].key, (0.0, 0.1))
        return np.float32(centre) + np.float32(deviation) * noise

    params = jax.tree.map_with_path(weights, abstract_params(config))
    if config.head == "single":  # the last rectifier must not cut everything off
        params["head"]["output"]["conv3"]["bias"] += np.float32(3)
    return params
