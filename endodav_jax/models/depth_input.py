"""Converts frames in [0, 1] to the input of an encoder."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from endodav_jax.geometry.resize import resize_align_corners

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def network_input(
    frames: Float[Array, "N H W 3"],
    view_mask: Bool[Array, "N H W"] | None,
    shape: tuple[int, int],
    normalise: bool,
) -> Float[Array, "N height width 3"]:
    """Frames resized bilinearly (align_corners) and, if asked, normalised by ImageNet's mean and deviation.

    Args:
      frames: in [0, 1].
      view_mask: the pixels an endoscope's circular view shows, or None for all; see `fill_outside_view`.
      shape: (height, width) of the network.
      normalise: whether to normalise.
    """
    frames = jnp.asarray(frames, jnp.float32)
    if view_mask is not None:
        frames = fill_outside_view(frames, view_mask)
    images = resize_align_corners(frames, shape)
    return (images - IMAGENET_MEAN) / IMAGENET_DEVIATION if normalise else images


def fill_outside_view(frames: Float[Array, "N H W 3"], view_mask: Bool[Array, "#N H W"]) -> Float[Array, "N H W 3"]:
    """Frames whose pixels outside an endoscope's circular view take the mean colour of the others.

    The network then sees no edge at the black rim.  This is our addition to the published networks.
    """
    shown = view_mask[..., None]
    mean = (frames * shown).sum((1, 2), keepdims=True) / jnp.maximum(shown.sum((1, 2), keepdims=True), 1)
    return jnp.where(shown, frames, mean)
