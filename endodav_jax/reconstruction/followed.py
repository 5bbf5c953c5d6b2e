"""Points followed through a clip, with the depth that each frame gives them: what a path is adjusted to."""

import cv2
import numpy as np

from endodav_jax.data.registration import followed_points
from endodav_jax.reconstruction.starts import grey_texture
from endodav_jax.reconstruction.views import View

POINTS = 500  # followed at once
SPACING = 5  # pixels between new points and others
WINDOW = 9  # pixels a side of what is compared
THERE_AND_BACK = 0.2  # pixels by which a point followed forth and back may miss itself
BORDER = 3  # pixels
QUALITY = 0.005  # of a corner, over the best one's
PATIENCE = 3  # frames that points outlast in which next to none of them is found, as in smoke or smear
NEXT_TO_NONE = 0.1
EDGE = 1.3  # ratio of depths around a point above which it lies on an outline, which slides over what is behind it
UNTIL = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 5e-3)  # steps, or pixels that a point still moves


class FollowedPoints:
    """Corners of the texture, followed from frame to frame (Lucas & Kanade 1981) for as long as they can be.

    The texture is freed of the lamp first: shading that travels with the camera has corners that belong to no place.
    Twenty bytes an observation are kept, about 10 kB a frame.

    Attributes:
      intrinsics: float64 [4] in the pixels of the observations; of the last frame taken.
      size: (height, width) in them.
    """

    def __init__(self):
        self.intrinsics = np.ones(4)
        self.size = (1, 1)
        self._observed: list[tuple[np.ndarray, ...]] = []
        self._before: np.ndarray | None = None
        self._places = np.zeros((0, 2), np.float32)
        self._names = np.zeros(0, np.int32)
        self._next = 0
        self._waited = 0

    def push(self, view: View, unit: float) -> None:
        """Follows the points into the next frame and finds new ones where there are none.

        Args:
          view: of the frame.
          unit: what the view's depth of 1 is in the clip's.
        """
        level = view.levels[0]
        self.intrinsics = np.asarray(level.intrinsics, np.float64)
        self.size = level.maps.shape[:2]
        now, depth, known = grey_texture(level.maps), level.maps[..., 3], level.maps[..., 4] > 0.5
        allowed = known & ~_outlines(depth)
        places, names = self._followed(now, allowed)
        if self._waited < PATIENCE and len(places) < NEXT_TO_NONE * len(self._places):
            self._waited += 1
            self._observe(depth, known, unit, self._places[:0], self._names[:0])
            return
        self._waited, self._before, self._places, self._names = 0, now, places, names
        self._add(now, allowed)
        self._observe(depth, known, unit, self._places, self._names)

    def observations(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Returns frame [O] by order of `push`, point [O], pixel (x, y) [O,2], and depth [O], nan where unknown."""
        frames, names, x, y, depths = (np.concatenate(part) for part in zip(*self._observed, strict=True))
        return frames, names, np.stack([x, y], -1).astype(np.float64), depths.astype(np.float64)

    def _observe(self, depth, known, unit: float, places: np.ndarray, names: np.ndarray) -> None:
        x, y = places.T
        at = (x.reshape(-1, 1), y.reshape(-1, 1))
        sampled, sure = (
            cv2.remap(np.ascontiguousarray(m, np.float32), *at, cv2.INTER_LINEAR).reshape(-1) if len(x) else x
            for m in (depth, known)
        )
        depths = np.where(sure > 0.99, sampled * unit, np.nan).astype(np.float32)
        frame = np.full(len(x), len(self._observed), np.int32)
        self._observed.append((frame, names, x.copy(), y.copy(), depths))

    def _followed(self, now: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places and names of the points that are found again."""
        if self._before is None or not len(self._places):
            return self._places, self._names
        height, width = now.shape
        ends, good = followed_points(self._before, now, self._places, window=WINDOW, miss=THERE_AND_BACK, until=UNTIL)
        good &= (ends >= BORDER).all(1) & (ends <= (width - 1 - BORDER, height - 1 - BORDER)).all(1)
        columns, rows = np.clip(np.round(ends), 0, (width - 1, height - 1)).astype(int).T
        good &= allowed[rows, columns]
        return ends[good], self._names[good]

    def _add(self, now: np.ndarray, allowed: np.ndarray) -> None:
        wanted = POINTS - len(self._places)
        if wanted <= 0:
            return
        free = allowed.astype(np.uint8)
        free[:BORDER] = free[-BORDER:] = free[:, :BORDER] = free[:, -BORDER:] = 0
        for x, y in self._places:
            cv2.circle(free, (round(float(x)), round(float(y))), SPACING, 0, -1)
        corners = cv2.goodFeaturesToTrack(now, wanted, QUALITY, SPACING, mask=free, blockSize=5)
        if corners is None:
            return
        self._places = np.concatenate([self._places, corners[:, 0]])
        names = np.arange(self._next, self._next + len(corners), dtype=np.int32)
        self._names, self._next = np.concatenate([self._names, names]), self._next + len(corners)


def _outlines(depth: np.ndarray) -> np.ndarray:
    """Where depth jumps within two pixels; missing depth is no jump."""
    box = np.ones((5, 5), np.uint8)
    nearest = cv2.erode(np.where(depth > 0, depth, np.float32(1e9)).astype(np.float32), box)
    return cv2.dilate(depth, box) > EDGE * nearest
