"""Depth of a whole clip, steadied along the path of its camera.

A network's depth is off by a factor that changes from frame to frame, which makes up most of its temporal error, and
bends slowly over the view.  Points that were followed through the clip know both once the path was adjusted to them:
each frame's factor (`Tracked.scale`) and, where they lie, what depth is off by (`Tracked.triangulated`).  The factor is
applied as it is; the rest is smoothed over the view, by a polynomial, and over time, and leaves each frame's mean log
depth as it is.  Where the camera is lost, and near there, depth is left alone, as it is along a path that is not
reliable (`reliable`).  Nothing is learned, and no truth is needed but the lens.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.errors import UserError
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.evaluate import Correct
from endodav_jax.reconstruction.clip import LEAST_PARALLAX, CameraPath, DepthView
from endodav_jax.reconstruction.followed import FollowedPoints
from endodav_jax.reconstruction.refine import followed_path
from endodav_jax.scale.sources import ScaleFrame

DEGREE = 3  # of the polynomial over the view
FEWEST = 10  # points that say anything about a frame's view
SUREST_POINT = 0.03  # deviation of log depth: no point counts as surer
EFFECTIVE_POINTS = 20  # neighbouring points repeat each other: all of a frame's together count as so many
PRIOR_DEVIATION = 0.06  # of a coefficient: where points do not say otherwise, depth stays as it is
VIEW_CELLS = 6  # a side: in the middle of each, depth is taken to be right, so that the polynomial does not run away
VIEW_DEVIATION = 0.15  # of log depth there: where points say otherwise, they win
FARTHEST_POINT = 0.5  # log ratio from a frame's median beyond which a point was followed wrongly
SMOOTHED_FRAMES = 1.0  # standard deviation in time
UNCERTAIN = 0.035  # median deviation of a piece's points: 0.01 to 0.02 along most right paths, 0.03 on a real sinus
APART = 0.165  # and their mean distance from the network's log depth: wrong paths have both, a bad network one of them
JUMPS = 0.02  # of log depth, added in the mean along a wrong path, but by a fast camera between sparse frames as well
UNCERTAIN_JUMPING = 0.02  # so that both must be: along right paths whose depth jumps, deviations were up to 0.016
FEWEST_FOLLOWED = 5  # points that tell how a frame's depth jumps
UNTRUSTED_FRAMES = 20  # next to one in which the camera is lost; the correction returns over as many more


class SteadyDepth:
    """Corrects the depth of a clip's frames.

    Attributes:
      note: what could not be corrected, in one line; empty if nothing.
    """

    def __init__(self, path: CameraPath, points: FollowedPoints, known_lens: bool = True):
        """Takes the path and the points that it was adjusted to (`followed_path`).

        With a lens that was only guessed, points tell each frame's factor alone: what they say of the view's bend is
        as much about the lens.
        """
        pieces = np.array([frame.piece for frame in path.frames])
        bends = np.stack([_bend(frame.triangulated) for frame in path.frames])
        self._log_scales, self._bends = np.zeros(len(pieces)), np.zeros_like(bends)
        right, far = reliable(path, points), _far_from_lost(pieces)
        trust = far * right
        for piece in path.pieces:
            members = np.flatnonzero(pieces == piece)
            scales = np.log([path.frames[i].scale for i in members])
            # Without the mean, so that the level stays the network's, in every piece.
            self._log_scales[members] = trust[members] * (scales - scales.mean())
            if known_lens:
                self._bends[members] = trust[members, None] * _smoothed(bends[members], members)
        count = len(pieces)
        lost, kept, doubted = (int(n.sum()) for n in (pieces < 0, far == 0, ~right))
        notes = []
        if lost:
            notes.append(
                f"the camera was lost in {lost} of {count} frames; they and those near them, {kept} in all, were left "
                "as they were"
            )
        if doubted:
            notes.append(f"the path of {doubted} of {count} frames is not reliable; they were left as they were")
        if path.parallax < LEAST_PARALLAX:
            notes.append(f"the camera only turns (parallax {path.parallax:.2f} px), which tells little of depth")
        self.note = "; ".join(notes)

    def __call__(
        self, place: int, depth: Float32[np.ndarray, "H W"], inside: Bool[np.ndarray, "H W"]
    ) -> Float32[np.ndarray, "H W"]:
        """Returns corrected depth.

        Args:
          place: number of the frame within the clip.
          depth: the frame's depth, as the path was tracked with; 0 stays 0.
          inside: the pixels of the scene.
        """
        return (depth * np.exp(self._log_scales[place] + self._field(place, depth, inside))).astype(np.float32)

    def left(self, path: CameraPath, fields: Iterable[Float32[np.ndarray, "H W"]]) -> CameraPath:
        """Returns the same path about the corrected depth: what is left of each frame's factor and of points' ratios.

        Args:
          path: that this was made of.
          fields: of each frame, the log ratio of corrected depth to what it was; 0 where there is none.
        """
        frames = []
        for log_scale, frame, field in zip(self._log_scales, path.frames, fields, strict=True):
            rows = frame.triangulated
            if rows is not None:
                height, width = field.shape
                y, x = np.minimum((rows[:, 1::-1] * (height, width)).astype(int), (height - 1, width - 1)).T
                rows = rows.copy()
                rows[:, 2] -= field[y, x] - log_scale
            scale = frame.scale * float(np.exp(-log_scale))
            frames.append(dataclasses.replace(frame, scale=scale, triangulated=rows))
        return dataclasses.replace(path, frames=tuple(frames))

    def _field(self, place: int, depth: np.ndarray, inside: np.ndarray) -> np.ndarray:
        height, width = depth.shape
        y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
        field = np.einsum("hk,wk,k->hw", *_factors(y, x), self._bends[place])
        counted = inside & (depth > 0)
        if counted.any():
            field -= field[counted].mean()
        return field


def reliable(path: CameraPath, points: FollowedPoints) -> Bool[np.ndarray, "N"]:
    """Returns for which frames the path is reliable.

    It is not where no points were followed, nor where it explains their motion badly and depth would either jump more
    along it than it does now or contradict the network's.
    """
    pieces = np.array([frame.piece for frame in path.frames])
    right, jumps = np.full(len(pieces), True), _jumps(points, len(pieces))
    for piece in path.pieces:
        members = np.flatnonzero(pieces == piece)
        scales = np.log([path.frames[i].scale for i in members])
        before, added = jumps[members[1:-1]], np.diff(scales, 2)
        told = np.isfinite(before)
        jumping = told.any() and np.mean(np.abs(before + added)[told] - np.abs(before)[told]) > JUMPS
        deviation, apart = uncertainty([path.frames[i].triangulated for i in members])
        wrong = (deviation > UNCERTAIN and apart > APART) or (deviation > UNCERTAIN_JUMPING and jumping)
        right[members] = np.isfinite(deviation) and not wrong
    return right


def uncertainty(frames: Sequence[np.ndarray | None]) -> tuple[float, float]:
    """Returns the median deviation of log depth of a piece's points (`Tracked.triangulated`), and their disagreement.

    That is the mean over frames of how far log ratios to the frame's own depth lie from their median; both are infinite
    without points.
    """
    known = [rows for rows in frames if rows is not None and len(rows)]
    if not known:
        return np.inf, np.inf
    apart = [np.abs(rows[:, 2] - np.median(rows[:, 2])).mean() for rows in known]
    return float(np.median(np.concatenate([rows[:, 3] for rows in known]))), float(np.mean(apart))


def steady_clip(
    frames: Callable[[], Iterator[ScaleFrame]],
    inside: Bool[np.ndarray, "H W"],
    intrinsics: np.ndarray,
    known_lens: bool,
) -> SteadyDepth:
    """Returns the correction of a clip's depth; see `depth_video.passes.SteadyOf`.

    Args:
      frames: yields the clip's frames afresh on every call.
      inside: the view.
      intrinsics: [4] of the frames.
      known_lens: whether these were given, and not guessed.

    Raises:
      UserError: a single frame, or no depth anywhere.
    """

    def views() -> Iterator[DepthView]:
        for frame in frames():
            yield DepthView(frame.index, frame.rgb, frame.depth, inside)

    return SteadyDepth(*followed_path(views, intrinsics), known_lens)


def correction_of(section: EvaluateConfig) -> Correct | None:
    """Returns what an evaluation is to correct depth by, as its section says; None for nothing."""
    return steady_sequence if section.steady else None


def steady_sequence(frames: Callable[[], Iterator[EvaluationFrame]], depth: Float32[np.ndarray, "N H W"]) -> None:
    """Steadies a sequence's depth in place, and says on stderr what was left; see `evaluation.evaluate.Correct`.

    Raises:
      UserError: frames without intrinsics, a single frame, or no depth anywhere.
    """
    first = next(frames())
    intrinsics = np.asarray(first.intrinsics, np.float64)
    if not intrinsics[:2].min() > 0:
        raise UserError(f"{first.sequence}: the data have no intrinsics, which steadying needs; omit --steady")

    def views() -> Iterator[DepthView]:
        for number, frame in enumerate(frames()):
            yield DepthView(number, frame.frame, np.where(frame.counted, depth[number], 0), frame.counted)

    steady = SteadyDepth(*followed_path(views, intrinsics))
    if steady.note:
        print(f"{first.sequence}: {steady.note}", file=sys.stderr)
    for number, frame in enumerate(frames()):
        depth[number] = steady(number, depth[number], frame.counted)


def _factors(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Powers of the vertical and of the horizontal place (0 to 1) whose products are the polynomial's terms."""
    terms = [(i, total - i) for total in range(DEGREE + 1) for i in range(total + 1)]
    vertical, horizontal = zip(*terms, strict=True)
    return (2 * y[:, None] - 1) ** np.array(vertical), (2 * x[:, None] - 1) ** np.array(horizontal)


def _far_from_lost(pieces: np.ndarray) -> np.ndarray:
    """1 far from frames in which the camera was lost, 0 near them: a path that is about to be lost is wrong before."""
    if (pieces >= 0).all():
        return np.ones(len(pieces))
    apart = ndimage.distance_transform_edt(pieces >= 0)  # frames to the nearest one that was lost
    return np.clip((apart - UNTRUSTED_FRAMES) / UNTRUSTED_FRAMES, 0.0, 1.0)


def _jumps(points: FollowedPoints, count: int) -> np.ndarray:
    """How much log depth along the followed points changes its change in each frame, in the median; nan if unknown.

    A camera moves smoothly, so this is nearly all the network's, and tells without the path whether a factor helps.
    """
    frame, name, _, depth = points.observations()
    known = np.flatnonzero(depth > 0)
    order = known[np.lexsort((frame[known], name[known]))]
    frame, name, log_depth = frame[order], name[order], np.log(depth[order])
    in_turn = (name[2:] == name[:-2]) & (frame[2:] == frame[:-2] + 2)
    change, middle = np.diff(log_depth, 2)[in_turn], frame[1:-1][in_turn]
    by_frame = np.argsort(middle, kind="stable")
    of_frames = np.split(change[by_frame], np.searchsorted(middle[by_frame], np.arange(1, count)))
    return np.array([np.median(here) if len(here) >= FEWEST_FOLLOWED else np.nan for here in of_frames])


def _bend(points: np.ndarray | None) -> np.ndarray:
    """Coefficients of what a frame's log depth is off by over the view; nan where too few points tell."""
    unknown = np.full((DEGREE + 1) * (DEGREE + 2) // 2, np.nan)
    if points is None or len(points) < FEWEST:
        return unknown
    x, y, ratios, deviations = points.astype(np.float64).T
    kept = np.abs(ratios - np.median(ratios)) < FARTHEST_POINT
    if kept.sum() < FEWEST:
        return unknown
    vertical, horizontal = _factors(y[kept], x[kept])
    terms = vertical * horizontal
    weights = min(1.0, EFFECTIVE_POINTS / len(points)) / np.maximum(deviations[kept], SUREST_POINT) ** 2
    middles = (np.arange(VIEW_CELLS) + 0.5) / VIEW_CELLS
    view = np.einsum("hk,wk->hwk", *_factors(middles, middles)).reshape(-1, terms.shape[1])
    prior = np.full(terms.shape[1], 1 / PRIOR_DEVIATION**2)
    prior[0] = 1e-6  # the constant is the frame's own, and is left out afterwards
    normal = (terms * weights[:, None]).T @ terms + view.T @ view / VIEW_DEVIATION**2 + np.diag(prior)
    level = np.average(ratios[kept], weights=weights)
    told = (terms * weights[:, None]).T @ ratios[kept] + view.sum(0) * level / VIEW_DEVIATION**2
    return np.linalg.solve(normal, told)


def _smoothed(bends: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Coefficients [N,K] of frames at `times` [N], each a weighted mean over its neighbours in time; 0 without any."""
    known = np.zeros(times[-1] - times[0] + 1)
    values = np.zeros((len(known), bends.shape[1]))
    told = np.isfinite(bends[:, 0])
    known[times[told] - times[0]], values[times[told] - times[0]] = 1, bends[told]

    def near(what: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter1d(what, SMOOTHED_FRAMES, axis=0, mode="constant")[times - times[0]]

    return near(values) / np.maximum(near(known), 1e-12)[:, None]
