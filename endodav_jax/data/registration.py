"""Where the pixels of a frame are in another, without training: points and corners followed, and dense optical flow.

Points are followed with Lucas & Kanade (1981).  The flow is DIS (Kroeger et al. 2016): it finds larger motion than a
small network trained on neighbours, and is used to solve for the camera motion (`geometry.motion_from_flow`).
"""

import functools
import itertools

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8

STRIDE = 4  # pixels of a frame per pixel of the flow, along each side
# Forward-backward error at which the weight of flow drops to 1/e: pixels, and a fraction of its length.
_CLOSED_PIXELS, _CLOSED_SHARE = 0.3, 0.05
_FAR = 1e3  # for positions outside the frame
_CORNERS = 300  # at most
_BORDER = 1  # pixels of the second picture in which corners are not found


def followed_points(
    first: UInt8[np.ndarray, "H W"],
    second: UInt8[np.ndarray, "H W"],
    points: Float[np.ndarray, "P 2"],
    *,
    window: int,
    miss: float,
    until: tuple[int, int, float] = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01),
) -> tuple[Float32[np.ndarray, "P 2"], Bool[np.ndarray, "P"]]:
    """Returns where points (x, y) of one grey picture are in another, and which were found there and back.

    Args:
      first, second: the pictures.
      points: at least one.
      window: pixels a side of what is compared.
      miss: pixels by which a point followed forth and back must miss itself by less.
      until: OpenCV's criteria to stop.
    """
    places = points.astype(np.float32)[:, None]
    follow = functools.partial(cv2.calcOpticalFlowPyrLK, winSize=(window, window), maxLevel=3, criteria=until)
    there, found, _ = follow(first, second, places, None)
    back, again, _ = follow(second, first, there, None)
    returned = (found[:, 0] > 0) & (again[:, 0] > 0) & (np.linalg.norm(back[:, 0] - points, axis=1) < miss)
    return there[:, 0], returned


def followed_corners(
    first: UInt8[np.ndarray, "H W"],
    second: UInt8[np.ndarray, "H W"],
    mask: UInt8[np.ndarray, "H W"],
    *,
    window: int,
    miss: float,
) -> tuple[Float64[np.ndarray, "P 2"], Float64[np.ndarray, "P 2"], Bool[np.ndarray, "P"]]:
    """Returns the corners (x, y) of one grey picture within a mask, where they are in another, and which were found.

    Args:
      first, second: the pictures.
      mask: nonzero where corners may lie.
      window, miss: see `followed_points`.
    """
    corners = cv2.goodFeaturesToTrack(first, _CORNERS, 0.01, 3, mask=mask, blockSize=5)
    if corners is None:
        return np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, bool)
    start = corners[:, 0].astype(np.float64)
    end, good = followed_points(first, second, start, window=window, miss=miss)
    farthest = np.array(first.shape[::-1]) - 1 - _BORDER
    good &= (end > _BORDER).all(1) & (end < farthest).all(1)
    return start, end.astype(np.float64), good


def neighbour_flow(frames: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Returns the flow from each frame of a clip to the one before and the one after it.

    Args:
      frames: uint8 [T+2,H,W,3], sides multiples of `STRIDE`: a clip with a frame before and one after it.
      counted: bool [H,W] or [T+2,H,W], false where something other than the scene is visible.

    Returns:
      float32 [2,T,H/4,W/4,3]: (y, x) in pixels of the frames, and the weight it deserves from 0 to 1.  A pixel is the
      mean of 4 x 4 of the frame's; its centre lies at 4 i + 1.5.
    """
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    counted = np.broadcast_to(counted, (len(frames), *frames.shape[1:3])).astype(np.float32)
    search = fine_search()
    forward = [dense_flow(search, a, b) for a, b in itertools.pairwise(grey)]
    backward = [dense_flow(search, b, a) for a, b in itertools.pairwise(grey)]
    length = len(frames) - 2
    to_before = [_weighed(backward[i], forward[i], counted[i + 1]) for i in range(length)]
    to_after = [_weighed(forward[i + 1], backward[i + 1], counted[i + 1]) for i in range(length)]
    return np.stack([to_before, to_after])


def fine_search() -> cv2.DenseOpticalFlow:
    """Returns the search of `dense_flow` that goes down to the pictures' own resolution."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    return search


def dense_flow(search: cv2.DenseOpticalFlow, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the flow (x, y), float32 [H,W,2], from one grey picture, uint8 [H,W], to another."""
    # OpenCV accepts None for no initial flow, which its stubs do not declare.
    return search.calc(first, second, None)  # type: ignore[call-overload]


def _weighed(flow: np.ndarray, back: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(y, x) and weight [h,w,3] of a flow (x, y), given the backward flow."""
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    returned = cv2.remap(
        back,
        columns + flow[..., 0],
        rows + flow[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(_FAR, _FAR),
    )
    miss = np.linalg.norm(flow + returned, axis=-1)
    weight = counted * np.exp(-((miss / (_CLOSED_PIXELS + _CLOSED_SHARE * np.linalg.norm(flow, axis=-1))) ** 2))
    # The flow of a pixel is that of its reliable part.
    total = _pooled(weight[..., None])
    return np.concatenate([_pooled(weight[..., None] * flow[..., ::-1]) / np.maximum(total, 1e-6), total], -1)


def _pooled(image: np.ndarray) -> np.ndarray:
    height, width, channels = image.shape
    return image.reshape(height // STRIDE, STRIDE, width // STRIDE, STRIDE, channels).mean((1, 3), dtype=np.float32)
