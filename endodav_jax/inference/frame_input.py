"""A network's input from frames of a video, following the rule of its family."""

import numpy as np
from jaxtyping import Array, Bool, Float32, UInt8
from PIL import Image

from endodav_jax.inference import programs
from endodav_jax.models import DepthModelConfig


class FrameInput:
    """Converts frames of one video to the network's input: in [0, 1], filled outside the view."""

    def __init__(self, config: DepthModelConfig, view_mask: Bool[np.ndarray, "H W"] | None):
        """Takes the network's configuration and the visible pixels (None: all)."""
        self._image_shape = config.image_shape
        self._frame_shape = config.family_entry.frame_shape
        self._view_mask = view_mask
        if self._frame_shape is not None and view_mask is not None:
            self._view_mask = resampled(view_mask.astype(np.uint8), self._frame_shape, Image.Resampling.NEAREST) > 0

    def __call__(self, frames: UInt8[np.ndarray, "N H W 3"]) -> Float32[Array, "N h w 3"]:
        """The input, on the device."""
        if self._frame_shape is None:
            return programs.prepare(frames, self._image_shape, self._view_mask)
        lanczos = [resampled(frame, self._frame_shape, Image.Resampling.LANCZOS) for frame in frames]
        return programs.prepare_unresized(np.stack(lanczos), self._view_mask)


def resampled(image: UInt8[np.ndarray, "H W *C"], shape: tuple[int, int], filter: int) -> UInt8[np.ndarray, "h w *C"]:
    """Resizes an image with one of Pillow's filters."""
    return np.asarray(Image.fromarray(image).resize(shape[::-1], filter))
