"""Networks to measure: a checkpoint's, or one with random weights, which takes the same time."""

import jax
import numpy as np

from endodav_jax.models import FAMILIES, DepthModelConfig, abstract_params

WINDOW_FAMILIES = tuple(name for name, family in FAMILIES.items() if family.windows)


def random_params(config: DepthModelConfig) -> dict:
    """Weights whose activations stay moderate and whose disparity is positive and varied, made without compiling."""
    rng = np.random.default_rng(0)

    def weights(path, leaf) -> np.ndarray:
        if leaf.ndim > 1:
            return rng.standard_normal(leaf.shape, np.float32) / np.float32(np.sqrt(np.prod(leaf.shape[:-1])))
        name = path[-1].key
        return np.full(leaf.shape, 1.0 if "scale" in name else 0.01, np.float32)

    params = jax.tree.map_with_path(weights, abstract_params(config))
    if config.head == "single":
        params["head"]["output"]["conv3"]["bias"] += np.float32(3)
    return params


def network(family: str, preset: str, weights: str) -> tuple[DepthModelConfig, dict]:
    """The configuration and weights of a checkpoint folder, or of a preset with random weights if there is none."""
    if weights:
        from endodav_jax.checkpoints import load_model

        config, params, _ = load_model(weights)
        return config, params["depth"]
    config = DepthModelConfig.published(family, preset)
    return config, random_params(config)


def drifting_frames(count: int, height: int, width: int):
    """Yields textured frames uint8 that move by two pixels each, made on demand."""
    coarse = np.random.default_rng(1).integers(0, 256, (height // 8 + 40, width // 8 + 2, 3), np.uint8)
    texture = np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:, :width]
    for i in range(count):
        yield np.roll(texture, 2 * i, axis=0)[:height].copy()
