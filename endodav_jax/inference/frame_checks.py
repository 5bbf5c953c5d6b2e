"""Validation of frames and masks, with one-line errors."""

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike

from endodav_jax.errors import UserError

_MASK_CURE = "give an array [height, width] of booleans or numbers, 0 where a pixel is hidden"


def checked_frame(
    frame, number: int, shape: tuple[int, ...] | None, view_mask: Bool[np.ndarray, "H W"] | None
) -> np.ndarray:
    """Returns frame `number` of a video as an array uint8 [H, W, 3].

    Args:
      frame: the frame as given.
      number: for the message.
      shape: shape of the first frame, or None if this is the first.
      view_mask: if given, must have the size of the frame.

    Raises:
      UserError: it is not such an array, or its size differs from that of the first frame or of the mask.
    """
    try:
        frame = np.asarray(frame)
    except ValueError as error:  # lists of different lengths
        raise UserError(f"frame {number}: is no array; give RGB frames, uint8 [height, width, 3]") from error
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise UserError(
            f"frame {number}: {frame.dtype} of shape {frame.shape}; give RGB frames, uint8 [height, width, 3]"
        )
    if shape is not None and frame.shape != shape:
        raise UserError(
            f"frame {number}: {frame.shape[1]}x{frame.shape[0]}, but the video began with {shape[1]}x{shape[0]}; "
            "cut the video where its size changes"
        )
    if view_mask is not None and view_mask.shape != frame.shape[:2]:
        raise UserError(
            f"view_mask: {view_mask.shape[1]}x{view_mask.shape[0]}, but the frames are "
            f"{frame.shape[1]}x{frame.shape[0]}; give a mask of the same size"
        )
    return frame


def checked_mask(view_mask: ArrayLike | None) -> Bool[np.ndarray, "H W"] | None:
    """Returns the visible pixels as booleans: those that are not 0, as in an image of a mask; None is passed on.

    Raises:
      UserError: it is not an array [height, width] of numbers or booleans, or some are NaN.
    """
    if view_mask is None:
        return None
    try:
        mask = np.asarray(view_mask)
    except ValueError as error:  # lists of different lengths
        raise UserError(f"view_mask: is no array ({error}); {_MASK_CURE}") from error
    if mask.ndim != 2 or mask.dtype.kind not in "biuf" or np.isnan(mask).any():
        what = "has NaN" if mask.dtype.kind == "f" and mask.ndim == 2 else f"{mask.dtype} of shape {mask.shape}"
        raise UserError(f"view_mask: {what}; {_MASK_CURE}")
    return mask if mask.dtype == bool else mask != 0
