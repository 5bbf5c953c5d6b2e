"""Preprocessing of video frames for the network, and resizing of its disparity back to the frame size.

The published EndoDAV resizes twice: with OpenCV's bicubic so that both sides reach the network's size (aspect kept,
multiples of 14), then bilinearly (align_corners) to exactly that size.  Both act on floats, so bicubic overshoot
below 0 and above 1 is kept.  Video-Depth-Anything has only the first step, with 518 as the lower bound of the shorter
side (less for frames wider than 16:9); if such a model has an `image_shape` with the aspect of the frame, as computed
by `lower_bound_shape`, the second step does nothing.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, UInt8

from endodav_jax.geometry.resize import lower_bound_shape, resize_align_corners, resize_cubic
from endodav_jax.models.depth_input import fill_outside_view


def network_input(
    frames: UInt8[Array, "N H W 3"], image_shape: tuple[int, int], view_mask: Bool[Array, "H W"] | None = None
) -> Float32[Array, "N h w 3"]:
    """Returns frames as the network expects them, in [0, 1] except for bicubic overshoot, not normalised.

    Golden case: `preprocessing`.

    Args:
      frames: all of one size, which may be any.
      image_shape: (height, width) of the network.
      view_mask: the pixels inside the endoscope's circular view; the others are filled with the mean colour of these,
        as in training.
    """
    height, width = frames.shape[1:3]
    reached = resize_cubic(unit_frames(frames, view_mask), lower_bound_shape(height, width, image_shape))
    return resize_align_corners(reached, image_shape)


def unit_frames(
    frames: UInt8[Array, "N H W 3"], view_mask: Bool[Array, "H W"] | None = None
) -> Float32[Array, "N H W 3"]:
    """Returns frames in [0, 1] at their own size, filled outside the view as in `network_input`."""
    unit = frames.astype(jnp.float32) / jnp.float32(255)
    return unit if view_mask is None else fill_outside_view(unit, view_mask[None])


def to_frame_size(disparity: Float32[Array, "N h w"], frame_shape: tuple[int, int]) -> Float32[Array, "N H W"]:
    """Resizes disparity bilinearly (align_corners) to the size of the video's frames."""
    return resize_align_corners(disparity[..., None], frame_shape)[..., 0]
