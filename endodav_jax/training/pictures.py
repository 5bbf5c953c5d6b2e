"""One picture of a step: frame, warped neighbours, refined targets, occlusion, disparity, flow."""

import numpy as np

from endodav_jax.training.depth_objective import Pictures
from endodav_jax.video.colour import colour_table, colourise

_DISPARITY_SHARE = 0.98  # values above this quantile get the brightest colour


def panel(pictures: Pictures) -> np.ndarray:
    """Returns uint8 [3H,4W,3] from the pictures of one frame (NumPy, without the axis N).

    Rows: the frame, its disparity and an empty half; then, for the previous and the next neighbour: the neighbour
    warped by depth and motion, the refined target, where the pixel is visible in the neighbour, and the flow to it.
    """
    frame, warped, refined, occlusion, disparity, _, flow = (np.asarray(picture) for picture in pictures)
    top = max(float(np.quantile(disparity, _DISPARITY_SHARE)), 1e-6)
    colours = colourise(disparity, 0.0, top, colour_table("inferno"), None)
    first, empty = _bytes(frame), np.zeros(frame.shape, np.uint8)
    rows = [np.concatenate([first, colours, empty, empty], axis=1)]
    for direction in (0, 1):
        seen = np.repeat(occlusion[direction][..., None], 3, axis=-1)
        tiles = [_bytes(tile) for tile in (warped[direction], refined[direction], seen)]
        rows.append(np.concatenate([*tiles, flow_colours(flow[direction])], axis=1))
    return np.concatenate(rows)


def flow_colours(flow: np.ndarray) -> np.ndarray:
    """Returns flow [H,W,2] (y, x) as uint8 [H,W,3]: direction as hue, length as brightness, scaled to the maximum."""
    length = np.linalg.norm(flow, axis=-1)
    sixths = np.arctan2(flow[..., 0], flow[..., 1]) * 3 / np.pi
    value = length / max(float(length.max()), 1e-6)
    k = np.mod(np.array([5, 3, 1]) + sixths[..., None], 6)
    return _bytes(value[..., None] * (1 - np.clip(np.minimum(k, 4 - k), 0, 1)))


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
