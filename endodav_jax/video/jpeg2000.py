"""JPEG 2000 with more than 8 bits of colour, whose brightest values Pillow turns to black."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

_START = b"\xff\x4f\xff\x51"  # of the codestream, and of the segment that describes it
_BITS_OF_FIRST = 4 + 2 + 2 + 8 * 4 + 2  # from there: length, profile, sizes and offsets, number of components


def deep_colour(image: Image.Image, path: Path) -> np.ndarray | None:
    """Returns a JPEG 2000 with colours of more than 8 bits, which Pillow rounds up to 256; None for any other image.

    Args:
      image: the file, opened by Pillow.
      path: the file.

    Returns:
      uint16 [H, W, 3 | 4] over the whole range, opacity last.

    Raises:
      ValueError: it cannot be decoded.
    """
    if image.format != "JPEG2000" or image.mode not in ("RGB", "RGBA"):
        return None
    data = path.read_bytes()
    bits = _bits(data)
    if bits <= 8:
        return None
    image.load()  # finds damage, about which OpenCV would print lines of its own
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        raise ValueError("not JPEG 2000 of deep colour")
    rgb = cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA if values.shape[-1] == 4 else cv2.COLOR_BGR2RGB)
    largest = (1 << min(bits, 16)) - 1
    return (np.minimum(rgb, largest).astype(np.uint32) * 65535 // largest).astype(np.uint16)


def _bits(data: bytes) -> int:
    """Returns how many bits the first component has; 0 if the data do not say."""
    place = data.find(_START) + _BITS_OF_FIRST
    return (data[place] & 0x7F) + 1 if _BITS_OF_FIRST <= place < len(data) else 0
