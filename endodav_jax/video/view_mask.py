"""The part of the frame that shows tissue, detected from the frames or read from a file."""

import contextlib
import itertools
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.video.frame_masks import read_mask
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.overlays import FEWEST, find_overlays, near_the_edge
from endodav_jax.video.reader import FrameReader

SAMPLES = 16  # frames examined
EVERY = 5  # step between the frames that are decoded if there are too few key frames
DARK = 48  # a border is never brighter than this, of 255
CONTRAST = 12  # and the view is brighter than the border by this much in some frame
FULL = 0.985  # a view larger than this share of the frame is the whole frame
SMALLEST = 0.1
ROUND = 0.985  # overlap from which a view counts as a (cropped) circle
NOTCH = 12  # shadows at the rim narrower than two of this many parts of the frame belong to the view
RIM = 160  # one of this many parts of the frame is trimmed all around


def find_view(reader: FrameReader, how: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Returns the view for `none` (None: everything), `auto` (see `detect_view`) or a mask image's name.

    Returns:
      bool [H, W], and, with `auto`, lines for the user: how large the view is, and each picture in the picture.

    Raises:
      UserError: see `read_view`; or `auto` for a live source, which cannot be sampled in advance.
    """
    if how == "none":
        return None, ()
    if how == "auto":
        samples = reader.samples(SAMPLES)
        overlays = find_overlays(varied(samples, lambda: (frame.rgb for frame in reader)))
        view = _view_without(samples, overlays.drawn)
        return view, (*_note(view), *overlays.notes())
    return read_view(how, reader.size, reader.full_size), ()


def varied(samples: list[np.ndarray], decoded: Callable[[], Iterable[np.ndarray]]) -> list[np.ndarray]:
    """Returns samples, enough of which differ to tell what moves.

    A video is sampled at its key frames; if it has too few, frames decoded from its beginning are used, which
    `decoded` provides.
    """
    different = list({zlib.crc32(sample.tobytes()): sample for sample in samples}.values())
    if len(different) >= FEWEST:
        return different
    with contextlib.suppress(ReadingStopped):
        return list(itertools.islice(decoded(), 0, SAMPLES * EVERY, EVERY)) or samples
    return samples


def detect_view(frames: Sequence[np.ndarray], moved: Sequence[np.ndarray] | None = None) -> np.ndarray | None:
    """Finds the view inside a dark border and without burnt-in parts; None if the frames have neither.

    Text, logos and panels that are constant over the clip (`overlays`) are excluded from the view if they lie outside
    it or in the outer part of the frame.

    The brightest value that a pixel ever takes separates the border, dark in every frame, from a lumen, dark only in
    some.  The largest bright region is taken, which excludes text next to the view; its holes and narrow notches are
    filled, and if a circle fits it well, the circle is used instead.

    Args:
      frames: uint8 [H, W, 3] each, spread over the video.
      moved: other frames for telling what is burnt in, if those are too few or too similar; see `varied`.

    Returns:
      bool [H, W], true inside; None if the view is the whole frame.
    """
    return _view_without(frames, find_overlays(frames if moved is None else moved).drawn)


def _view_without(frames: Sequence[np.ndarray], drawn: np.ndarray | None) -> np.ndarray | None:
    view = _inside_border(frames, drawn)
    if drawn is None:
        return view
    over = near_the_edge(drawn)
    if view is None:
        return ~over if over.any() else None
    return view & ~over


def _inside_border(frames: Sequence[np.ndarray], drawn: np.ndarray | None) -> np.ndarray | None:
    """The view inside a dark border; whatever is drawn counts as border."""
    brightest = cv2.medianBlur(np.max([frame.max(axis=-1) for frame in frames], axis=0), 5)
    if drawn is not None:
        brightest[drawn] = 0
    height, width = brightest.shape
    patch = max(2, min(height, width) // 40)
    corners = [
        brightest[y, x] for y in (slice(patch), slice(-patch, None)) for x in (slice(patch), slice(-patch, None))
    ]
    border = float(np.median([np.median(corner) for corner in corners]))
    if border > DARK:
        return None
    bright = (brightest > border + CONTRAST).astype(np.uint8)
    bright = cv2.morphologyEx(bright, cv2.MORPH_OPEN, _disc(patch))
    outlines, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    outline = max(outlines, key=cv2.contourArea)
    # Closing fills shadows at the rim; the frame's edge must not count as dark while it does.
    reach = max(2, min(height, width) // NOTCH)
    filled = cv2.drawContours(np.zeros_like(bright), [outline], -1, 1, cv2.FILLED)
    filled = cv2.copyMakeBorder(filled, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    filled = cv2.morphologyEx(filled, cv2.MORPH_CLOSE, _disc(reach))[reach:-reach, reach:-reach]
    circle = _circle_like(filled, outline)
    view = (filled if circle is None else circle).astype(np.uint8)
    # The rim itself is blurred into the border.
    view = cv2.erode(view, _disc(max(1, min(height, width) // RIM)), borderValue=1).astype(bool)
    return view if SMALLEST < view.mean() < FULL else None


def _note(view: np.ndarray | None) -> tuple[str, ...]:
    if view is None:
        return ()
    return (f"shows something in {100 * view.mean():.0f}% of the frame; depth is 0 in the rest (--mask none keeps it)",)


def read_view(path: str, size: tuple[int, int], full_size: tuple[int, int]) -> np.ndarray:
    """Reads a mask image, nonzero inside the view, for frames of `size` that were `full_size` before resizing.

    Returns:
      bool [H, W] of `size`.

    Raises:
      UserError: the image is unreadable, has another size, or is 0 everywhere.
    """
    view = read_mask(Path(path))
    if view.shape == full_size and full_size != size:
        view = cv2.resize(view.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    if view.shape != size:
        raise UserError(
            f"{path}: the mask is {view.shape[1]}x{view.shape[0]}, the frames are {full_size[1]}x{full_size[0]}; "
            "give a mask of the frames' size"
        )
    if not view.any():
        raise UserError(f"{path}: the mask is 0 everywhere; give one that is not 0 inside the view")
    return view


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _circle_like(filled: np.ndarray, outline: np.ndarray) -> np.ndarray | None:
    """Returns the circle through the points of the outline inside the frame as bool [H, W], if the view is circular.

    Least squares on x^2 + y^2 = 2 a x + 2 b y + c; points at the frame's edge are where the circle is cut off.
    """
    height, width = filled.shape
    points = cv2.convexHull(outline)[:, 0].astype(np.float64)
    inner = (points > 2).all(axis=1) & (points < [width - 3, height - 3]).all(axis=1)
    x, y = points[inner].T
    if len(x) < 8:
        return None
    solution, *_ = np.linalg.lstsq(np.stack([2 * x, 2 * y, np.ones_like(x)], axis=1), x**2 + y**2, rcond=None)
    square = solution[2] + solution[0] ** 2 + solution[1] ** 2
    rows, columns = np.mgrid[:height, :width]
    circle = (columns - solution[0]) ** 2 + (rows - solution[1]) ** 2 <= square
    overlap = (circle & (filled > 0)).sum() / max(1, (circle | (filled > 0)).sum())
    return circle if overlap > ROUND else None
