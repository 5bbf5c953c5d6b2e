"""Masks of the most recently read frames, for fits that happen some windows later."""

import numpy as np
from jaxtyping import Bool

KEPT = 512  # frames: more than the windows in progress ever span


class RecentMasks:
    """Stores which pixels of each frame are used in fits, in constant memory.

    The mask of a frame is appended when the frame is read, and looked up by number when its window is aligned.  Those
    of the first frame and of the last `KEPT` are kept, with one bit per pixel.
    """

    def __init__(self):
        self._packed: dict[int, tuple[tuple[int, ...], np.ndarray] | None] = {}
        self._next = 0

    def append(self, mask: Bool[np.ndarray, "H W"] | None) -> None:
        """Adds the mask of the next frame, true for pixels to use; None for all of them."""
        self._packed[self._next] = None if mask is None else (mask.shape, np.packbits(mask))
        self._next += 1
        if self._next - KEPT > 1:
            self._packed.pop(self._next - KEPT - 1, None)

    def __call__(self, number: int) -> Bool[np.ndarray, "H W"] | None:
        """Returns the mask of a frame that was appended; None for all pixels.

        Raises:
          KeyError: the frame is no longer kept, or has not been read yet.
        """
        packed = self._packed[number]
        if packed is None:
            return None
        (height, width), bits = packed
        return np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)
