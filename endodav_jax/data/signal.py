"""Measures the training signal of a video: parallax between frames, and the photometric error.

View synthesis sees depth only through parallax; motion explained by camera rotation carries no information about depth.
With true depth and motion, the photometric error shows directly whether relief matters (`true_signal`).  Without them,
parallax is estimated as the optical flow minus the motion of a fronto-parallel plane (`parallax`).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from endodav_jax import ssim
from endodav_jax.data.registration import dense_flow, fine_search
from endodav_jax.geometry.pixels import scaled_intrinsics

INTERVALS = (1, 2, 4, 8, 16)
ENOUGH_PIXELS = 1.5  # parallax from which relief can be learned
LITTLE_PIXELS = 1.0  # below this, noise and lighting outweigh it
RELIEFS = (0.9, 0.7, 0.0)  # fractions of the relief with which the truth is compared; 0 is a plane
FOLLOWED = 0.4  # minimum fraction of a frame with consistent flow for an interval to be usable
WELL_FOLLOWED = 0.75  # below this, parallax is underestimated
STILL_PIXELS = 0.1  # flow to the previous frame below which a frame counts as still
BLURRED = 0.6  # fraction of the video's usual sharpness below which a frame counts as blurred
DUPLICATE_GREY = 0.25  # grey levels of 255
WIDEST_FLOW = 480  # pixels; wider frames are reduced for optical flow
_ITERATIONS = 6
_CLOSED_PIXELS, _CLOSED_SHARE = 1.0, 0.1
# The plane that fits best explains some of the parallax against the plane of median depth, even with the true flow
# (docs/benchmarks.md, "Signal of rendered data").
_UNEXPLAINED = 1.15
_BORDER = 2


@dataclasses.dataclass(frozen=True)
class Pair:
    """A frame and a later one of the same sequence.

    Attributes:
      first, second: uint8 [H,W,3].
      counted: bool [H,W], where both see the scene.
      intrinsics: [4] (fx, fy, cx, cy) in pixels.
      depth_mm: [H,W] of the first frame, 0 where invalid; None if it is not known.
      second_from_first: [4,4] mm, moves points into the second camera; None if it is not known.
    """

    first: np.ndarray
    second: np.ndarray
    counted: np.ndarray
    intrinsics: np.ndarray
    depth_mm: np.ndarray | None = None
    second_from_first: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class TrueSignal:
    """The signal according to true depth and motion.

    Attributes:
      parallax: mean distance in pixels between where a pixel moves and where it would on the plane of median depth.
      error: mean photometric error of the truth.
      ratios: fraction of relief -> its error relative to the truth's; above 1, the truth is preferred.
    """

    parallax: float
    error: float
    ratios: Mapping[float, float]


@dataclasses.dataclass(frozen=True)
class Signal:
    """The signal of a video.

    Attributes:
      parallax: interval in frames -> estimated parallax in pixels, median over pairs; NaN where flow cannot be
        tracked.
      followed: interval -> fraction of the pixels with consistent flow.
      truth: interval -> the signal from depth and motion, if the data have them.
      still, blurred, duplicates: fractions of the examined frames.
      interval: recommended interval, in frames.
    """

    parallax: Mapping[int, float]
    followed: Mapping[int, float]
    truth: Mapping[int, TrueSignal]
    still: float
    blurred: float
    duplicates: float
    interval: int

    def line(self) -> str:
        """A one-line summary with the recommended interval."""
        known = ", ".join(
            f"{'over ' * self.lost(k)}{p:.2f} px every {_ordinal(k)}"
            for k, p in self.parallax.items()
            if math.isfinite(p)
        )
        faults = [
            f"{100 * share:.0f}% {what}"
            for share, what in ((self.still, "still"), (self.blurred, "blurred"), (self.duplicates, "duplicates"))
            if share >= 0.005
        ]
        if not known:
            found, then = "not measurable", "too few frames, or flow cannot be followed from one to the next"
        elif not self.moves:
            found, then = known, "no interval recommended: depth cannot be learned unless the camera travels"
        else:
            found, then = known, f"interval recommended: {self.interval}"
        return "; ".join([f"parallax {found}", *faults, then])

    @property
    def moves(self) -> bool:
        """Whether parallax can be measured, and the camera travels."""
        return any(p >= STILL_PIXELS for p in self.parallax.values())

    def lost(self, interval: int) -> bool:
        """Whether parallax at an interval is an underestimate: flow loses near surfaces, which move most, first."""
        return self.followed[interval] < WELL_FOLLOWED

    def warning(self, interval: int) -> str:
        """The problem with training at an interval; "" if there is none, or none that is certain."""
        found = self._parallax_at(interval)
        if not found < LITTLE_PIXELS or self.lost(self._nearest(interval)):
            return ""
        cure = f"set data.frame_max_interval={self.interval} or data.frame_interval=auto"
        most = math.inf if self.lost(self._nearest(self.interval)) else self._parallax_at(self.interval)
        if interval == self.interval or most < LITTLE_PIXELS:
            cure = f"no interval up to {max(self.parallax)} has enough, so the camera must move more"
        return (
            f"parallax of {found:.2f} px between frames {interval} apart is under {LITTLE_PIXELS:g} px: depth can "
            f"hardly be learned from it; {cure}"
        )

    def _parallax_at(self, interval: int) -> float:
        """Parallax in pixels at any interval, in proportion to that of the nearest measured one."""
        nearest = self._nearest(interval)
        return self.parallax[nearest] * interval / nearest

    def _nearest(self, interval: int) -> int:
        """The measured interval nearest to any interval."""
        return min(self.parallax, key=lambda k: abs(math.log(k / interval)))


def measure(pairs: Callable[[int], Sequence[Pair]], intervals: Sequence[int] = INTERVALS) -> Signal:
    """Measures a video from pairs of its frames.

    Args:
      pairs: returns pairs with a given frame interval; none if the video is too short.
      intervals: to try, ascending, including 1.
    """
    estimated, followed, truth = {}, {}, {}
    still = blurred = duplicates = usual = math.nan
    for interval in intervals:
        some = list(pairs(interval))
        if not some:
            continue
        sharpness = np.array(
            [[_sharpness(frame, pair.counted) for frame in (pair.first, pair.second)] for pair in some]
        )
        if interval == 1:
            usual = float(np.median(sharpness[:, 1]))
            blurred = float((sharpness[:, 1] < BLURRED * usual).mean())
            still, duplicates = _still_and_same(some)
        # Flow between a blurred frame and a sharp one is not motion.
        too_blurred = [min(both) < BLURRED * usual for both in sharpness.tolist()]
        sharp = [pair for pair, out in zip(some, too_blurred, strict=True) if not out]
        found = [parallax(pair) for pair in sharp]
        usable = [p for p, share in found if share >= FOLLOWED]
        followed[interval] = float(np.mean([share for _, share in found])) if found else 0.0
        estimated[interval] = float(np.median(usable)) if usable and 2 * len(usable) >= len(sharp) else math.nan
        if all(pair.depth_mm is not None and pair.second_from_first is not None for pair in some):
            known = true_signal(some)
            if math.isfinite(known.error):
                truth[interval] = known
    return Signal(estimated, followed, truth, still, blurred, duplicates, _recommended(estimated))


def parallax(pair: Pair) -> tuple[float, float]:
    """Mean parallax of a pair in pixels, and the fraction of the counted pixels that could be tracked.

    DIS flow (Kroeger et al. 2016), less the homography K (R + t n^T) K^-1 of a plane seen head on that fits it best in
    the least squares, found by Gauss-Newton; what such a plane explains too much is corrected in the mean.
    """
    scale = min(1.0, WIDEST_FLOW / pair.first.shape[1])
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (pair.first, pair.second)]
    counted, intrinsics = pair.counted, pair.intrinsics
    if scale < 1:
        size = (round(grey[0].shape[1] * scale), round(grey[0].shape[0] * scale))
        grey = [cv2.resize(g, size, interpolation=cv2.INTER_AREA) for g in grey]
        counted = cv2.resize(counted.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        intrinsics = scaled_intrinsics(intrinsics, scale, scale)
    search = fine_search()
    forward, backward = dense_flow(search, *grey), dense_flow(search, *grey[::-1])
    (height, width), (fx, fy, cx, cy) = counted.shape, intrinsics
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    ends = columns + forward[..., 0], rows + forward[..., 1]
    back = cv2.remap(backward, *ends, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(1e3, 1e3))
    length = np.linalg.norm(forward, axis=-1)
    good = counted & (np.linalg.norm(forward + back, axis=-1) < _CLOSED_PIXELS + _CLOSED_SHARE * length)
    good &= _inside(*ends, height, width) & (cv2.remap(counted.astype(np.float32), *ends, cv2.INTER_LINEAR) > 0.99)
    share = float(good.sum() / max(1, counted.sum()))
    if good.sum() < 100:
        return math.nan, share
    rays = np.stack([(columns[good] - cx) / fx, (rows[good] - cy) / fy, np.ones(good.sum())], -1).astype(np.float64)
    seen = np.stack([ends[0][good], ends[1][good]], -1)
    left = _less_a_plane(rays, seen, np.array([fx, fy]), np.array([cx, cy]))
    return float(_UNEXPLAINED * np.linalg.norm(left, axis=-1).mean() / scale), share


def true_signal(pairs: Sequence[Pair]) -> TrueSignal:
    """The signal of pairs with depth and motion: means over pairs with pixels that stay in view; NaN if none."""
    errors, moved = [], []
    for pair in pairs:
        assert pair.depth_mm is not None
        valid = pair.counted & (pair.depth_mm > 0)
        # At the border of the view, windows and samples would include its black surroundings.
        within = cv2.erode(pair.counted.astype(np.float32), np.ones((5, 5), np.uint8))
        median = np.median(pair.depth_mm[valid]) if valid.any() else 1.0
        at_truth, of_pair = None, []
        for relief in (1.0, *RELIEFS):
            depth = np.where(valid, median + relief * (pair.depth_mm - median), median)
            x, y = _reprojected(pair, depth)
            warped = cv2.remap(pair.second, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            seen = valid & (within > 0) & _inside(x, y, *valid.shape)
            seen &= cv2.remap(within, x, y, cv2.INTER_LINEAR) > 0.99
            of_pair.append(float(photometric_error(warped, pair.first)[seen].mean()) if seen.any() else math.nan)
            if at_truth is None:
                at_truth, seen_truly = (x, y), seen
            elif relief == 0:
                distance = np.hypot(x - at_truth[0], y - at_truth[1])[seen & seen_truly]
                moved.append(float(distance.mean()) if distance.size else math.nan)
        errors.append(of_pair)
    known = np.array([of_pair for of_pair in errors if np.isfinite(of_pair).all()])
    if not len(known):
        return TrueSignal(math.nan, math.nan, dict.fromkeys(RELIEFS, math.nan))
    truth, *others = known.mean(0)
    ratios = {relief: float(other / truth) for relief, other in zip(RELIEFS, others, strict=True)}
    return TrueSignal(float(np.nanmean(moved)) if np.isfinite(moved).any() else math.nan, float(truth), ratios)


def photometric_error(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """0.85 (1 - SSIM)/2 + 0.15 |a - b| of uint8 images [H,W,3], over 3x3 windows: float32 [H,W]."""
    a, b = (image.astype(np.float32) / 255 for image in (a, b))

    def mean(image):
        return cv2.blur(image, (3, 3), borderType=cv2.BORDER_REFLECT_101)

    unlike = np.clip(ssim.dissimilarity(mean(a), mean(b), mean(a * b), mean(a**2 + b**2)), 0, 1)
    weight = ssim.PUBLISHED_WEIGHT
    return (weight * unlike + (1 - weight) * np.abs(a - b)).mean(-1)


def table(signal: Signal) -> list[str]:
    """Lines of a table, one per interval, and the summary."""
    return [*signal_rows(signal), signal.line()]


def signal_rows(signal: Signal) -> list[str]:
    """The table's heading, and a line for every interval."""
    lines = [f"{'frames apart':>12} {'parallax px':>12} {'followed':>9}"]
    if signal.truth:
        lines[0] += f" {'true px':>8} {'error':>7}" + "".join(f" {_relief(r):>7}" for r in RELIEFS)
    for interval, pixels in signal.parallax.items():
        bound = ">" if signal.lost(interval) and math.isfinite(pixels) else ""
        line = f"{interval:>12} {f'{bound}{pixels:.2f}':>12} {100 * signal.followed[interval]:>8.0f}%"
        if interval in signal.truth:
            truth = signal.truth[interval]
            line += f" {truth.parallax:>8.2f} {truth.error:>7.4f}" + "".join(
                f" {truth.ratios[r]:>7.3f}" for r in RELIEFS
            )
        lines.append(line)
    return lines


def _relief(share: float) -> str:
    return f"{100 * share:.0f}%" if share else "plane"


def _ordinal(interval: int) -> str:
    return {1: "frame", 2: "2nd"}.get(interval, f"{interval}th")


def _recommended(estimated: Mapping[int, float]) -> int:
    """The smallest interval with enough parallax, or the one with the most."""
    known = {k: p for k, p in estimated.items() if math.isfinite(p)}
    if not known:
        return 1
    enough = [k for k, p in known.items() if p >= ENOUGH_PIXELS]
    if not enough:
        return max(known, key=lambda k: known[k])
    if enough[0] == min(known):
        return enough[0]
    # Parallax grows roughly linearly between the tested intervals.
    before = max(k for k in known if k < enough[0])
    part = (ENOUGH_PIXELS - known[before]) / (known[enough[0]] - known[before])
    return math.ceil(before + part * (enough[0] - before))


def _sharpness(frame: np.ndarray, counted: np.ndarray) -> float:
    """Spread of the Laplacian of a frame uint8 [H,W,3] over its contrast, where `counted` [H,W] is true."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    edges = cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 1.0), cv2.CV_32F)[counted]
    return float(edges.std() / (grey[counted].std() + 1.0)) if edges.size else 0.0


def _still_and_same(pairs: Sequence[Pair]) -> tuple[float, float]:
    """Fractions of pairs of neighbours that are still, and that are identical."""
    still, same = [], []
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    for pair in pairs:
        first, second = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (pair.first, pair.second))
        flow = np.linalg.norm(dense_flow(search, first, second), axis=-1)[pair.counted]
        difference = cv2.absdiff(first, second)[pair.counted]
        duplicate = bool(difference.size) and float(difference.mean()) < DUPLICATE_GREY
        same.append(duplicate)
        still.append(not duplicate and bool(flow.size) and float(np.median(flow)) < STILL_PIXELS)
    return float(np.mean(still)), float(np.mean(same))


def _inside(x: np.ndarray, y: np.ndarray, height: int, width: int) -> np.ndarray:
    return (x > _BORDER) & (x < width - 1 - _BORDER) & (y > _BORDER) & (y < height - 1 - _BORDER)


def _reprojected(pair: Pair, depth_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The positions at which the second camera sees the first one's pixels at a given depth: x and y float32 [H,W]."""
    assert pair.second_from_first is not None
    fx, fy, cx, cy = pair.intrinsics
    rows, columns = np.mgrid[: depth_mm.shape[0], : depth_mm.shape[1]].astype(np.float64)
    points = np.stack([(columns - cx) / fx * depth_mm, (rows - cy) / fy * depth_mm, depth_mm], -1)
    seen = points @ pair.second_from_first[:3, :3].T + pair.second_from_first[:3, 3]
    ahead = np.where(seen[..., 2] > 1e-3, seen[..., 2], np.nan)
    x, y = fx * seen[..., 0] / ahead + cx, fy * seen[..., 1] / ahead + cy
    return np.nan_to_num(x, nan=-1e3).astype(np.float32), np.nan_to_num(y, nan=-1e3).astype(np.float32)


def _less_a_plane(rays: np.ndarray, seen: np.ndarray, focal: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The residual [N,2] of pixels `seen` [N,2] after removing that of a plane at one depth along `rays` [N,3]."""
    rotation, shift = np.eye(3), np.zeros(3)
    for iteration in range(_ITERATIONS + 1):
        moved = rays @ rotation.T + shift
        ahead = np.maximum(moved[:, 2], 0.05)
        x, y = moved[:, 0] / ahead, moved[:, 1] / ahead
        left = seen - (focal * np.stack([x, y], -1) + centre)
        if iteration == _ITERATIONS:
            break
        near, zero, one = 1 / ahead, np.zeros_like(x), np.ones_like(x)
        by_x = np.stack([-x * y, one + x * x, -y, near, zero, -x * near], -1) * focal[0]
        by_y = np.stack([-one - y * y, x * y, x, zero, near, -y * near], -1) * focal[1]
        jacobian = np.concatenate([by_x, by_y])
        normal = jacobian.T @ jacobian
        right = jacobian.T @ np.concatenate([left[:, 0], left[:, 1]])
        step = np.linalg.solve(normal + 1e-6 * np.trace(normal) / 6 * np.eye(6), right)
        turn, _ = cv2.Rodrigues(step[:3])
        rotation, shift = turn @ rotation, turn @ shift + step[3:]
    return left
