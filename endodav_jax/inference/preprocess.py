"""From a video's frame to what the network sees, and from its disparity back to the frame's size.

The published EndoDAV resizes twice: by OpenCV's bicubic so that both sides reach the network's size (aspect kept,
multiples of 14), then bilinearly (align_corners) to that size itself.  Both act on floats, so the bicubic's
overshoot below 0 and above 1 stays.  Video-Depth-Anything has the first step only, with 518 as the shorter side's
bound (less for frames wider than 16:9); give such a model an `image_shape` of the frame's aspect, which
`lower_bound_shape` computes, and the second step does nothing.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, UInt8

from endodav_jax.geometry.resize import lower_bound_shape, resize_align_corners, resize_cubic
from endodav_jax.models.depth_input import fill_outside_view


def network_input(
    frames: UInt8[Array, "N H W 3"], image_shape: tuple[int, int], view_mask: Bool[Array, "H W"] | None = None
) -> Float32[Array, "N h w 3"]:
    """Frames of a video as the network takes them, in [0, 1] but for the bicubic's overshoot, not normalised.

    Golden case: `preprocessing`.

    Args:
      frames: of any one size.
      image_shape: (height, width) of the network.
      view_mask: the pixels an endoscope's circular view shows; the others take the shown ones' mean colour, as
        the networks do in training.
    """
    height, width = frames.shape[1:3]
    reached = resize_cubic(unit_frames(frames, view_mask), lower_bound_shape(height, width, image_shape))
    return resize_align_corners(reached, image_shape)


def unit_frames(
    frames: UInt8[Array, "N H W 3"], view_mask: Bool[Array, "H W"] | None = None
) -> Float32[Array, "N H W 3"]:
    """Frames in [0, 1] at their own size, with what is outside the view filled as in `network_input`."""
    unit = frames.astype(jnp.float32) / jnp.float32(255)
    return unit if view_mask is None else fill_outside_view(unit, view_mask[None])


def to_frame_size(disparity: Float32[Array, "N h w"], frame_shape: tuple[int, int]) -> Float32[Array, "N H W"]:
    """Disparity bilinearly (align_corners) at the size of the video's frames."""
    return resize_align_corners(disparity[..., None], frame_shape)[..., 0]
