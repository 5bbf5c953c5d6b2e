"""Values of TIFF pages as they are meant: bright is high, samples last, upright."""

import numpy as np
import tifffile
from PIL import Image

_BITS, _PHOTOMETRIC, _WIDTH, _LENGTH, _ORIENTATION = 258, 262, 256, 257, 274  # tags
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2  # values of the tag PhotometricInterpretation
_KNOWN = (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
_SEPARATE_PLANES = 2
_OPACITY = 2  # an extra sample by which the colours have still to be multiplied


def is_deep(image: Image.Image) -> bool:
    """Whether the page that Pillow is at has grey or colour of more than 8 bits.

    Pillow opens most of these, but takes 16-bit planes for 8-bit ones and does not invert grey whose zero is white.
    """
    tags = getattr(image, "tag_v2", {})
    return image.format == "TIFF" and np.max(tags.get(_BITS, 1)) > 8 and tags.get(_PHOTOMETRIC) in _KNOWN


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Returns (width, height) of an opened image before its orientation is applied."""
    # Pillow since version 11 gives the size of a TIFF as it will be after that.
    return (image.tag_v2[_WIDTH], image.tag_v2[_LENGTH]) if image.format == "TIFF" else image.size  # type: ignore[attr-defined]


def can_decode(page: tifffile.TiffPage) -> bool:
    """Whether tifffile decodes a page; without the package imagecodecs it lacks some kinds of compression."""
    return page.bitspersample % 8 == 0 and (page.compression == 1 or page.compression in tifffile.TIFF.DECOMPRESSORS)


def in_planes(page: tifffile.TiffPage) -> bool:
    """Whether each colour of a page is stored by itself."""
    return page.samplesperpixel > 1 and page.planarconfig == _SEPARATE_PLANES


def has_known_colours(page: tifffile.TiffPage) -> bool:
    """Whether a page is grey or RGB, not a palette, CMYK or another space."""
    return page.photometric in _KNOWN


def meant_values(page: tifffile.TiffPage) -> np.ndarray:
    """Returns a page as [H, W], or as [H, W, 3 | 4] with opacity last."""
    values = page.asarray()
    if in_planes(page):
        values = np.moveaxis(values, 0, -1)
    return _oriented(_without_extras(bright_is_high(values, page), page), page.tags.valueof(_ORIENTATION, 1))


def bright_is_high(values: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Returns the values of a page over the range of their type, inverted if white is zero."""
    bits = page.bitspersample
    if values.dtype.kind == "u" and bits < 8 * values.dtype.itemsize:  # 12 bits, say
        values = (values.astype(np.uint32) * 65535 // ((1 << bits) - 1)).astype(np.uint16)
    return ~values if page.photometric == _WHITE_IS_ZERO and values.dtype.kind in "ub" else values


def _without_extras(values: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Leaves out samples other than grey, colour and opacity."""
    if values.ndim == 2:
        return values
    samples = values.shape[-1]
    colours = 3 if samples >= 3 else 1
    extras = samples - colours
    if not extras:
        return values
    kinds = tuple(page.extrasamples)
    opaque = len(kinds) >= extras and kinds[-extras] != _OPACITY
    if opaque:
        return values[..., :colours]
    colour = np.broadcast_to(values[..., :colours], (*values.shape[:2], 3))
    return np.concatenate([colour, values[..., colours : colours + 1]], axis=-1)


def _oriented(values: np.ndarray, orientation: int) -> np.ndarray:
    """Returns an image upright, given how the tag says it lies."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    flip_y, flip_x = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return values[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
