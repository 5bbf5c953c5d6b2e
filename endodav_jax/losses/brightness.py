"""Keeps the appearance ("transform") network to changes of brightness.

AF-SfMLearner (Shao et al. 2022): the transform may vary where the frame and its registered neighbour differ.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from endodav_jax.losses.smoothness import PairMaps, edge_aware_differences


def brightness_smoothness(
    transform: Float[Array, "N H W 3"], frame: Float[Array, "N H W 3"], registration: Float[Array, "N H W 3"]
) -> PairMaps:
    """Returns |∂ transform| exp(-|∂ (frame - registration)|) of horizontal and vertical neighbours."""
    return edge_aware_differences(transform, frame - registration)


def refined_target(
    frame: Float[Array, "N H W 3"], transform: Float[Array, "N H W 3"], occlusion: Float[Array, "N H W"]
) -> Float[Array, "N H W 3"]:
    """Returns the frame in its neighbour's light, clip(frame + transform · mask, 0, 1)."""
    return jnp.clip(frame + transform * occlusion[..., None], 0, 1)


def leading_pairs(mask: Float[Array, "N H W"]) -> tuple[Float[Array, "N H W-1"], Float[Array, "N H-1 W"]]:
    """Returns the mask of each pair's first pixel, left or upper: the published occlusion rule of this term."""
    return mask[:, :, :-1], mask[:, :-1]
