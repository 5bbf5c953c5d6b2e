"""What of a frame is tissue: the view without its highlights."""

import cv2
import numpy as np

BLOWN_OUT = 215  # grey levels of the weakest channel above which nothing but a highlight is
BRIGHT = 130  # above which a pixel is one if it stands out
STANDS_OUT = 45  # grey levels over the median about it
ABOUT = 8  # the median's window is such a part of the frame
RIM = 0.012  # of the frame's shorter side, by which highlights are widened


def highlights(rgb: np.ndarray) -> np.ndarray:
    """Returns where wet tissue mirrors the lamp, bool [H,W].

    A highlight has the lamp's colour, so that even its weakest channel is bright; it moves over the tissue as the
    camera moves, and what lies beneath cannot be seen.

    Args:
      rgb: uint8 [H,W,3].
    """
    weakest = rgb.min(-1)
    window = 2 * max(1, min(rgb.shape[:2]) // (2 * ABOUT)) + 1
    around = cv2.medianBlur(weakest, min(window, 255))
    stands_out = (weakest > BRIGHT) & (weakest.astype(np.int16) - around > STANDS_OUT)
    found = ((weakest > BLOWN_OUT) | stands_out).astype(np.uint8)
    reach = max(1, round(RIM * min(rgb.shape[:2])))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.dilate(found, disc).astype(bool)
