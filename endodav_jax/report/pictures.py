"""Pictures embedded in a page as PNG data: frames, depth as colours, error maps."""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from endodav_jax.report.page import Block
from endodav_jax.video.colour import colour_table, colourise

LARGEST = 176  # longer side of stored pictures, in pixels


def images(rows: Sequence[Sequence[np.ndarray]], columns: Sequence[str], captions: Sequence[str] = ()) -> Block:
    """A grid of pictures, uint8 [H,W,3], below the column names; `captions` name the rows.

    Raises:
      ValueError: a row has more or fewer pictures than there are columns.
    """
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"a row has other than {len(columns)} pictures")
    names = list(captions) or [""] * len(rows)
    lead = "<th></th>" if captions else ""
    head = lead + "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = ""
    for caption, row in zip(names, rows, strict=True):
        first = f'<th scope="row">{html.escape(caption)}</th>' if captions else ""
        cells = "".join(
            f"<td>{_img(picture, f'{caption} {name}')}</td>" for name, picture in zip(columns, row, strict=True)
        )
        body += f"<tr>{first}{cells}</tr>"
    return (
        f'<div class="wide"><table class="pictures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def small(image: np.ndarray, largest: int = LARGEST) -> np.ndarray:
    """Returns uint8 [h,w,3], reduced by averaging so that its longer side is at most `largest`."""
    height, width = _reduced(image.shape, largest)
    if (height, width) == image.shape[:2]:
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def small_map(values: np.ndarray, largest: int = LARGEST) -> np.ndarray:
    """Returns a map of the size that `small` gives, [h,w], of single pixels: no value is averaged across an edge."""
    rows, columns = (
        (np.arange(reduced) + 0.5) * size / reduced
        for size, reduced in zip(values.shape, _reduced(values.shape, largest), strict=True)
    )
    return np.ascontiguousarray(values[rows.astype(int)[:, None], columns.astype(int)])


def _reduced(shape: Sequence[int], largest: int) -> tuple[int, int]:
    factor = min(1.0, largest / max(shape[:2]))
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def depth_picture(depth_mm: np.ndarray, near: float, far: float) -> np.ndarray:
    """Returns uint8 [H,W,3]: near is bright, pixels without depth (0) are black."""
    inside = depth_mm > 0
    inverse = np.where(inside, 1 / np.maximum(depth_mm, 1e-6), 0).astype(np.float32)
    return colourise(inverse, 1 / far, 1 / near, colour_table("inferno"), inside)


def error_picture(predicted_mm: np.ndarray, truth_mm: np.ndarray, valid: np.ndarray, most: float) -> np.ndarray:
    """Returns uint8 [H,W,3]: |predicted - truth| / truth from dark, 0, to bright, `most`; grey without truth."""
    error = np.abs(predicted_mm - truth_mm) / np.where(valid, truth_mm, 1)
    picture = colourise(error.astype(np.float32), 0.0, most, colour_table("viridis"), valid)
    picture[~valid] = 128
    return picture


def _img(picture: np.ndarray, alt: str) -> str:
    height, width = picture.shape[:2]
    colours, places = np.unique(picture.reshape(-1, 3), axis=0, return_inverse=True)
    if len(colours) <= 256:  # colour maps: a third of the size
        image = Image.fromarray(places.reshape(height, width).astype(np.uint8), "P")
        image.putpalette(colours.tobytes())
    else:
        image = Image.fromarray(picture)
    stored = io.BytesIO()
    image.save(stored, "PNG", optimize=True)
    code = base64.b64encode(stored.getvalue()).decode()
    return (
        f'<img width="{width}" height="{height}" alt="{html.escape(alt.strip())}" src="data:image/png;base64,{code}">'
    )
