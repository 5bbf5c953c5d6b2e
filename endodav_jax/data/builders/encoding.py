"""Frames, depth maps and masks as bytes of ordinary image files, and back.

Everything is lossless, since compression noise looks like motion to a photometric loss.  `fast` files (BMP,
uncompressed TIFF) are for small training frames, which are read at the speed of a memory copy; `compact` files (PNG,
TIFF with LZW and the floating-point predictor) are for full-size frames, each of which is read once.
"""

from typing import Literal

import cv2
import numpy as np

from endodav_jax.errors import UserError

Storage = Literal["fast", "compact"]

_DEPTH_OPTIONS = {
    "fast": (cv2.IMWRITE_TIFF_COMPRESSION, 1),
    "compact": (cv2.IMWRITE_TIFF_COMPRESSION, 5, cv2.IMWRITE_TIFF_PREDICTOR, 3),
}


def encode_frame(frame: np.ndarray, storage: Storage) -> bytes:
    """RGB uint8 [H, W, 3] as a BMP or PNG file."""
    extension, options = (".bmp", ()) if storage == "fast" else (".png", (cv2.IMWRITE_PNG_COMPRESSION, 1))
    return _encode(extension, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)


def decode_frame(encoded: bytes, out: np.ndarray | None = None) -> np.ndarray:
    """RGB uint8 [H, W, 3] of any 8-bit image file; written to `out` where it is given."""
    return cv2.cvtColor(_decode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB, dst=out)


def encode_depth(depth_mm: np.ndarray, storage: Storage) -> bytes:
    """Depth float32 [H, W] as a TIFF file that keeps every bit."""
    return _encode(".tiff", np.ascontiguousarray(depth_mm, np.float32), _DEPTH_OPTIONS[storage])


def decode_depth(encoded: bytes) -> np.ndarray:
    """Depth float32 [H, W] of a single-channel TIFF file."""
    return _decode(encoded, cv2.IMREAD_UNCHANGED)


def encode_mask(mask: np.ndarray) -> bytes:
    """Mask bool [H, W] as a PNG file of one bit a pixel."""
    return _encode(".png", np.where(mask, 255, 0).astype(np.uint8), (cv2.IMWRITE_PNG_BILEVEL, 1))


def decode_mask(encoded: bytes) -> np.ndarray:
    """Mask bool [H, W]."""
    return _decode(encoded, cv2.IMREAD_GRAYSCALE) > 0


def _encode(extension: str, image: np.ndarray, options: tuple[int, ...]) -> bytes:
    done, encoded = cv2.imencode(extension, image, options)
    if not done:
        raise ValueError(f"cannot encode {image.dtype} {image.shape} as {extension}")
    return encoded.tobytes()


def _decode(encoded: bytes, flags: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    if image is None:
        raise UserError("a stored image cannot be decoded; the prepared data set is damaged, prepare it again")
    return image
