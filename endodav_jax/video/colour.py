"""Colours of disparity: near is bright."""

import cv2
import numpy as np

MOST_ERROR = 0.3  # relative error of depth, found or expected, at the upper end of its colours


def colour_table(name: str) -> np.ndarray:
    """Returns the 256 colours of a colour map, uint8 [256, 3] RGB, dark to bright (`turbo`: blue to red)."""
    levels = np.arange(256, dtype=np.uint8)[:, None]
    if name == "gray":
        return np.repeat(levels, 3, axis=1)
    return np.ascontiguousarray(cv2.applyColorMap(levels, getattr(cv2, f"COLORMAP_{name.upper()}"))[:, 0, ::-1])


def colourise(values: np.ndarray, low: float, high: float, table: np.ndarray, inside: np.ndarray | None) -> np.ndarray:
    """Colours values, clipped to the range from `low` to `high`.

    Levels are floor((v - low) / (high - low) * 255), as Video-Depth-Anything takes them; a flat clip is level 0.

    Args:
      values: float32 [H, W].
      table: uint8 [256, 3].
      inside: bool [H, W]; pixels outside are black.  None: every pixel is inside.

    Returns:
      uint8 [H, W, 3].
    """
    levels = np.zeros(values.shape, np.uint8)
    if high > low:
        levels = np.clip((values - np.float32(low)) * np.float32(255.0 / (high - low)), 0.0, 255.0).astype(np.uint8)
    colours = table[levels]
    if inside is not None:
        colours[~inside] = 0
    return colours
