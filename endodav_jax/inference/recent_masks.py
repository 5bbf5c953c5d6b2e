"""Masks of the frames that were read last, for fits that come some windows later."""

import numpy as np
from jaxtyping import Bool

KEPT = 512  # frames: more than windows that are under way ever span


class RecentMasks:
    """Remembers which pixels of each frame count, in memory that does not grow with the video.

    A frame's mask is appended as it is read, and asked for by its number once its window is aligned.  Those of the
    first frame and of the last `KEPT` are kept, a bit a pixel.
    """

    def __init__(self):
        self._packed: dict[int, tuple[tuple[int, ...], np.ndarray] | None] = {}
        self._next = 0

    def append(self, mask: Bool[np.ndarray, "H W"] | None) -> None:
        """Adds the next frame's mask, true where it counts; None for all of it."""
        self._packed[self._next] = None if mask is None else (mask.shape, np.packbits(mask))
        self._next += 1
        if self._next - KEPT > 1:
            self._packed.pop(self._next - KEPT - 1, None)

    def __call__(self, number: int) -> Bool[np.ndarray, "H W"] | None:
        """The mask of a frame that was appended; None for all of it.

        Raises:
          KeyError: the frame is not kept, or not read yet.
        """
        packed = self._packed[number]
        if packed is None:
            return None
        (height, width), bits = packed
        return np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)
