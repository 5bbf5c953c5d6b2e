"""Resizes frames: colour, depth, masks and intrinsics together."""

import numpy as np
from PIL import Image

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.geometry.pixels import resized_intrinsics
from endodav_jax.geometry.resize import resize_nearest
from endodav_jax.video.frame_masks import shrunk_mask

_SPARSE = 0.05  # fraction of pixels with depth below which a map is treated as a set of points


def resize_frame(frame: EvaluationFrame, image_shape: tuple[int, int]) -> EvaluationFrame:
    """Resizes all maps of a frame to `image_shape` (height, width).

    Colour is reduced by a triangle filter as wide as the reduction (Pillow's bilinear): the filter with which the
    published training loader resizes (antialiased bilinear), but rounded to uint8.  A mask is true where all the pixels
    it covers are (nearest would keep dark rims).  The edges of the picture are aligned.
    """
    height, width = frame.frame.shape[:2]
    if (height, width) == tuple(image_shape):
        return frame
    return EvaluationFrame(
        frame=np.asarray(Image.fromarray(frame.frame).resize(image_shape[::-1], Image.Resampling.BILINEAR)),
        depth_mm=None if frame.depth_mm is None else resize_depth(frame.depth_mm, image_shape),
        cam_from_world=frame.cam_from_world,
        intrinsics=resized_intrinsics(frame.intrinsics, (height, width), image_shape),
        view_mask=shrunk_mask(frame.view_mask, image_shape),
        sequence=frame.sequence,
        frame_index=frame.frame_index,
        frame_mask=None if frame.frame_mask is None else shrunk_mask(frame.frame_mask, image_shape),
    )


def resize_depth(depth_mm: np.ndarray, image_shape: tuple[int, int]) -> np.ndarray:
    """Returns depth [H', W'] from [H, W], 0 invalid in both.

    Dense maps use the nearest pixel, since a mean across an edge is a depth of no surface.  In sparse maps (points from
    structure from motion) this would lose most points; each goes to the pixel it falls into, the nearest of several.
    """
    rows, columns = np.nonzero(depth_mm)
    if rows.size > _SPARSE * depth_mm.size:
        return resize_nearest(depth_mm, image_shape, "half_pixel")
    resized = np.full(image_shape, np.inf, depth_mm.dtype)
    places = (
        ((index + 0.5) * (new / old)).astype(np.int64)
        for index, new, old in zip((rows, columns), image_shape, depth_mm.shape, strict=True)
    )
    np.minimum.at(resized, tuple(places), depth_mm[rows, columns])
    return np.where(np.isinf(resized), np.zeros_like(resized), resized)
