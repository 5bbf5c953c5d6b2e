"""Masks of visible tissue: the view without highlights."""

import cv2
import numpy as np

BLOWN_OUT = 215  # grey level of the weakest channel above which a pixel is always a highlight
BRIGHT = 130  # grey level above which it is a highlight if it stands out
STANDS_OUT = 45  # grey levels above the local median
ABOUT = 8  # the window of the median is this fraction (1/8) of the frame
RIM = 0.012  # dilation of highlights, relative to the shorter side of the frame


def highlights(rgb: np.ndarray) -> np.ndarray:
    """Returns specular highlights on wet tissue, bool [H,W].

    A highlight has the colour of the light source, so even its weakest channel is bright.  It moves over the tissue as
    the camera moves, and hides what lies beneath.

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
