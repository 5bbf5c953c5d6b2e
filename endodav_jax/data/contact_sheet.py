"""A picture of a data set: some frames of every sequence, each with its depth beside it."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.data.resize import resize_depth
from endodav_jax.data.sources.base import SourceFrame
from endodav_jax.errors import UserError
from endodav_jax.files import whole_file
from endodav_jax.geometry.resize import resize_nearest
from endodav_jax.video.colour import colour_table, colourise

_THUMB = (160, 128)  # width, height into which every picture is fitted
_TITLE = 16  # pixels of a row's title
_GAP = 2
_PAPER = 24  # grey level of the background
_QUANTILES = (0.02, 0.98)  # of a sequence's valid depth, which bound the colours


def check_sheet(path: Path) -> None:
    """Raises `UserError` if a sheet cannot be written under this name, before anything is looked at."""
    Image.init()
    if Image.EXTENSION.get(path.suffix.lower()) not in Image.SAVE:
        raise UserError(f"--contact-sheet {path}: no picture can be written by this name; end it in .png or .jpg")
    if path.is_dir():
        raise UserError(f"--contact-sheet {path}: is a folder; name a file in it, such as sheet.png")


def save_contact_sheet(path: str | Path, rows: Sequence[np.ndarray]) -> None:
    """Writes a picture of the rows, each as `contact_row` draws it.

    Raises:
      UserError: there are none, or the file cannot be written.
    """
    if not rows:
        raise UserError(f"{path}: no frame could be read, so there is nothing to draw")
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=_PAPER) for row in rows]
    with whole_file(path) as part:
        Image.fromarray(np.concatenate(padded)).save(part)


def contact_row(title: str, frames: Sequence[SourceFrame | EvaluationFrame]) -> np.ndarray:
    """Draws frames alternating with their depth (near is bright, invalid is black), with frame numbers.

    All frames in a row share one colour range for depth.  Pixels hidden by the mask are dimmed.

    Returns:
      uint8 [height, width, 3].
    """
    width, height = _THUMB
    row = Image.new("RGB", (2 * len(frames) * (width + _GAP), height + _TITLE + _GAP), (_PAPER,) * 3)
    draw = ImageDraw.Draw(row)
    font = ImageFont.load_default()
    table = colour_table("inferno")
    low, high = _depth_range(frames)
    text = title if high == 0 else f"{title}   depth {low:.0f} to {high:.0f} mm"
    draw.text((4, 2), text, fill=(230, 230, 230), font=font)
    for column, frame in enumerate(frames):
        left = 2 * column * (width + _GAP)
        _paste(row, _dimmed(frame), left)
        if frame.depth_mm is not None:
            _paste(row, _coloured(frame.depth_mm, low, high, table), left + width + _GAP)
        draw.text((left + 3, _TITLE + 2), str(frame.frame_index), fill=(255, 255, 255), font=font)
    return np.asarray(row)


def _depth_range(frames: Sequence[SourceFrame | EvaluationFrame]) -> tuple[float, float]:
    valid = [frame.depth_mm[frame.depth_mm > 0] for frame in frames if frame.depth_mm is not None]
    values = np.concatenate(valid) if valid else np.zeros(0)
    return (0.0, 0.0) if not values.size else tuple(np.quantile(values, _QUANTILES))


def _coloured(depth_mm: np.ndarray, low: float, high: float, table: np.ndarray) -> np.ndarray:
    small = resize_depth(depth_mm, _fitted(depth_mm.shape))
    picture = colourise(-small, -high, -low, table, small > 0)
    sparse = (small > 0).mean() < 0.2
    return cv2.dilate(picture, np.ones((3, 3), np.uint8)) if sparse else picture  # single points are hard to see


def _dimmed(frame: SourceFrame | EvaluationFrame) -> np.ndarray:
    height, width = _fitted(frame.frame.shape)
    shrinks = height < frame.frame.shape[0]
    small = cv2.resize(frame.frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)
    if frame.view_mask is None:
        return small
    return np.where(resize_nearest(frame.view_mask, (height, width), "half_pixel")[..., None], small, small // 3)


def _paste(row: Image.Image, picture: np.ndarray, left: int) -> None:
    """Pastes a picture that fits into its cell."""
    row.paste(Image.fromarray(picture), (left, _TITLE))


def _fitted(shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns the (height, width) of a picture of `shape` in its cell, preserving its aspect."""
    scale = min(_THUMB[0] / shape[1], _THUMB[1] / shape[0])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
