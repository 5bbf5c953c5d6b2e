"""Finds what a recorder draws over or next to the endoscope's picture: text, logos, and pictures in the picture.

While the endoscope moves, no pixel of tissue keeps its colour over a whole clip; any that does was burnt in.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

FEWEST = 4  # frames needed to tell what moves
STILL = 10  # a burnt-in pixel changes less, of 255, by compression and noise
MOVING = 0.3  # share of the frame that must move; otherwise the endoscope stands still and nothing can be told
DRAWN = 60  # burnt-in text is brighter than this; what is darker is border
MARGIN = 0.2  # text over the picture is looked for only in this outer part of the frame
HALO = 3  # pixels around text that compression and antialiasing spoil
OUTLINE = 25  # of 255: drawn pixels stand out from the picture by this much
SHARP_SHARE = 0.7  # along this share of their outline
INSET = (0.01, 0.4)  # smallest and largest share of the frame that a picture in the picture takes
STRAIGHT = 0.75  # share of its outline along which such a picture has an edge
LEAST_STRAIGHT = 0.5  # and share of each single side
EDGE = 8  # of 255, mean difference of neighbouring pixels over the clip
SHARPER = 3  # and at least this many times the mean edge of the frame


@dataclasses.dataclass(frozen=True)
class Overlays:
    """What was found.

    Attributes:
      drawn: bool [H, W], burnt-in text, logos and panels, with their halo; None if nothing was found.
      insets: (left, top, width, height) in pixels of each picture in the picture.
    """

    drawn: np.ndarray | None = None
    insets: tuple[tuple[int, int, int, int], ...] = ()

    def notes(self) -> tuple[str, ...]:
        """One line for each inset."""
        return tuple(
            f"a picture in the picture, {width}x{height} at {left},{top}: its depth is of another view; cut it out, or "
            "leave it out with --mask FILE"
            for left, top, width, height in self.insets
        )


def find_overlays(frames: Sequence[np.ndarray]) -> Overlays:
    """Finds what is constant across frames, uint8 [H, W, 3] each, spread over the clip; nothing in a still clip."""
    if len(frames) < FEWEST:
        return Overlays()
    most, least = frames[0], frames[0]
    for frame in frames[1:]:
        most, least = np.maximum(most, frame), np.minimum(least, frame)
    change, level = (most - least).max(axis=-1), most.max(axis=-1)
    moving = cv2.blur((change > STILL).astype(np.float32), (5, 5)) > 0.5
    if moving.mean() < MOVING:
        return Overlays()
    drawn = (change <= STILL) & (level > DRAWN)
    across = np.zeros((level.shape[0], level.shape[1] - 1))
    down = np.zeros((level.shape[0] - 1, level.shape[1]))
    for frame in frames:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        across = across + np.abs(np.diff(grey, axis=1)) / len(frames)
        down = down + np.abs(np.diff(grey, axis=0)) / len(frames)
    drawn = _cleaned(drawn, across, down)
    return Overlays(drawn if drawn.any() else None, _insets(across, down, moving))


def _cleaned(drawn: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Joins letters, drops specks and anything without a sharp outline (still tissue, a bright rim), adds the halo.

    Args:
      drawn: bool [H, W].
      across, down: [H, W-1] and [H-1, W], mean differences of neighbouring pixels over the clip.
    """
    joined = cv2.morphologyEx(drawn.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    least = max(12, round(2e-5 * drawn.size))
    sharp = np.zeros(drawn.shape, np.uint8)
    sharp[:, :-1] |= across > OUTLINE
    sharp[:-1] |= down > OUTLINE
    near_sharp = cv2.dilate(sharp, np.ones((3, 3), np.uint8))
    outline = (joined > 0) & ~cv2.erode(joined, np.ones((3, 3), np.uint8), borderValue=1).astype(bool)
    lengths = np.bincount(labels[outline], minlength=count)
    sharp_lengths = np.bincount(labels[outline], near_sharp[outline], minlength=count)
    kept = (stats[:, cv2.CC_STAT_AREA] >= least) & (sharp_lengths >= SHARP_SHARE * lengths)
    kept[0] = False
    size = 2 * HALO + 1
    return cv2.dilate(kept[labels].astype(np.uint8), np.ones((size, size), np.uint8)).astype(bool)


def near_the_edge(drawn: np.ndarray) -> np.ndarray:
    """Returns the parts of `drawn`, bool [H, W], that lie in the outer part of the frame or reach its edge.

    Anything constant in the middle of the picture may be a reflection, and stays in the view.
    """
    height, width = drawn.shape
    count, labels, stats, _ = cv2.connectedComponentsWithStats(drawn.astype(np.uint8), connectivity=8)
    kept = np.zeros(count, bool)
    for label in range(1, count):
        left, top, wide, high = stats[label, :4]
        near_side = left + wide <= MARGIN * width or left >= (1 - MARGIN) * width
        near_end = top + high <= MARGIN * height or top >= (1 - MARGIN) * height
        reaches = left == 0 or top == 0 or left + wide == width or top + high == height
        kept[label] = near_side or near_end or reaches
    return kept[labels]


def _insets(across: np.ndarray, down: np.ndarray, moving: np.ndarray) -> tuple[tuple[int, int, int, int], ...]:
    """Rectangles whose four sides are edges in (nearly) every frame, and inside which something moves."""
    height, width = moving.shape
    # Edges of tissue move, so their mean over the clip is low and about the same everywhere.
    upright, level = (edge > max(EDGE, SHARPER * float(np.median(edge))) for edge in (across, down))
    edges = np.zeros((height, width), np.uint8)
    edges[:, :-1] |= upright
    edges[:-1] |= level
    closed = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    outlines, _ = cv2.findContours(closed, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    found: list[tuple[int, int, int, int]] = []
    for outline in outlines:
        left, top, wide, high = cv2.boundingRect(outline)
        share = wide * high / (width * height)
        if not INSET[0] < share < INSET[1] or min(wide, high) < 16:
            continue
        inside = np.s_[top + 2 : top + high - 2, left + 2 : left + wide - 2]
        if moving[inside].mean() < 0.5 or not _is_rectangle(edges, left, top, wide, high):
            continue
        box = (int(left), int(top), int(wide), int(high))
        if all(_overlap(box, other) < 0.5 for other in found):
            found.append(box)
    return tuple(found)


def _is_rectangle(edges: np.ndarray, left: int, top: int, wide: int, high: int) -> bool:
    """Whether every side that is not a border of the frame is an edge along most of its length."""
    height, width = edges.shape
    thick = cv2.dilate(edges, np.ones((3, 3), np.uint8))
    right, bottom = left + wide - 1, top + high - 1
    sides = [
        (left > 2, thick[top : bottom + 1, left]),
        (right < width - 3, thick[top : bottom + 1, right]),
        (top > 2, thick[top, left : right + 1]),
        (bottom < height - 3, thick[bottom, left : right + 1]),
    ]
    own = [side.mean() for inner, side in sides if inner]
    return len(own) >= 2 and float(np.mean(own)) > STRAIGHT and min(own) > LEAST_STRAIGHT


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(wide, 0) * max(high, 0) / min(a[2] * a[3], b[2] * b[3])
