"""Evaluates a network during training on held-out scenes of every family."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from endodav_jax.data.phantom.config import FAMILY_NAMES, PhantomConfig
from endodav_jax.evaluation.alignment import Rule, fit_alignment
from endodav_jax.geometry.depth import depth_from_disparity
from endodav_jax.geometry.resize import resize_align_corners
from endodav_jax.pretraining.config import PretrainConfig
from endodav_jax.pretraining.scenes import PhantomScenes

SEED = 900_001  # not used by any training data
SCENES = 8  # per family
FRAMES = 2  # per scene
MEASURED: tuple[Rule, ...] = ("disparity", "scale_shift")


def held_out_scenes(config: PretrainConfig) -> dict[str, PhantomScenes]:
    """Returns the held-out scenes by family, in the frame size and cache of `config`."""
    size = {"height": config.frame_height, "width": config.frame_width}
    return {
        family: PhantomScenes(
            PhantomConfig.of(family, seed=SEED, sequences=SCENES, frames=FRAMES, **size), False, config.cache
        )
        for family in FAMILY_NAMES
    }


class HeldOut:
    """Frames of held-out scenes with their depth.

    Args:
      config: for the frame size and the cache.
    """

    def __init__(self, config: PretrainConfig):
        self._frames = {}
        for family, source in held_out_scenes(config).items():
            scenes = [source[i] for i in range(SCENES)]
            self._frames[family] = tuple(np.concatenate([s[key] for s in scenes]) for key in ("frames", "depth_mm"))

    def errors(self, graphdef: nnx.GraphDef, weights: dict, *, motion_modules: bool) -> dict[str, float]:
        """Returns `abs_rel/FAMILY/RULE`, aligned per frame, and the fraction of pixels at zero, `zero/FAMILY`.

        Args:
          graphdef: of the depth network.
          weights: all its weights, a pure nested dict.
          motion_modules: whether to use the motion modules.
        """
        found = {}
        for family, (frames, depths) in self._frames.items():
            disparity = np.asarray(_predict(graphdef, weights, frames, motion_modules))
            valid = depths > 0
            found[f"zero/{family}"] = float((disparity[valid] <= 0).mean())
            for rule in MEASURED:
                errors = [_abs_rel(*pair, rule) for pair in zip(disparity, depths, strict=True)]
                found[f"abs_rel/{family}/{rule}"] = float(np.mean(errors))
        return found


@functools.partial(jax.jit, static_argnames=("graphdef", "motion_modules"))
def _predict(graphdef: nnx.GraphDef, weights: dict, frames: jax.Array, motion_modules: bool) -> jax.Array:
    network = nnx.merge(graphdef, weights)
    plain = frames.astype(jnp.float32) / 255
    disparity = network.disparity(plain[:, None])[:, 0] if motion_modules else jax.nn.relu(network.single_frames(plain))
    return resize_align_corners(disparity[..., None], frames.shape[1:3])[..., 0]


def _abs_rel(disparity: np.ndarray, depth_mm: np.ndarray, rule: Rule) -> float:
    valid = depth_mm > 0
    truth = depth_mm[valid]
    predicted = depth_from_disparity(np.maximum(disparity[valid], 0))
    aligned = np.clip(fit_alignment(rule, predicted, truth)(predicted), 1e-3, 2 * truth.max())
    return float(np.mean(np.abs(aligned - truth) / truth))
