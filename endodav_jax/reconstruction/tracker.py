"""Tracks the pose of each frame of a clip against earlier surfaces, starting a new piece where that fails."""

import dataclasses

import numpy as np

from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.reconstruction.align import Fit, align, rigid_exactly
from endodav_jax.reconstruction.starts import feature_starts
from endodav_jax.reconstruction.views import View

REFERENCES = 3  # keyframes with which a frame is aligned
STEPS = (12, 10, 8)  # coarse to fine
NEW_KEYFRAME_OVERLAP = 0.75  # a frame that sees less of the last keyframe becomes a keyframe
NEW_KEYFRAME_CORRELATION = 0.4  # also if its texture agrees less, as when a network's depth has changed shape
NEW_KEYFRAME_SHIFT = 0.15  # also if it was taken this far from it, in units of depth
REVISIT_OVERLAP = 0.6  # an old keyframe with this overlap is used to close loops
MOST_KEYFRAMES = 60  # kept; if there are more, every second one of the older half is dropped
DOUBTFUL = 1.4  # times the usual cost of an alignment, above which other initial poses are tried too
SAMPLES = 12  # points per side of the grid for estimating the overlap with a keyframe
POINT_DEVIATION = 0.05  # of a point's log depth: what the camera and other points may have got wrong


@dataclasses.dataclass(frozen=True)
class TrackingRules:
    """Criteria for tracking failure.

    Attributes:
      least_overlap: fraction of its references that a frame must see.
      least_correlation: of texture with its references.
      most_difference: relative difference of depth from its references' (scale of its distribution).
      least_contrast: grey levels of texture below which a frame shows nothing (blur, smoke, water).
      blur_share: fraction of the previous frames' contrast below which a frame counts as blurred.
      patience: failed frames in a row after which a new piece may start.
      scale_sigma: relative uncertainty of the scale of a frame's depth; 0 keeps the scale fixed.
    """

    least_overlap: float = 0.3
    least_correlation: float = 0.15
    most_difference: float = 0.08
    least_contrast: float = 0.6
    blur_share: float = 0.25
    patience: int = 3
    scale_sigma: float = 0.0


@dataclasses.dataclass(frozen=True)
class Tracked:
    """One frame of the path.

    Attributes:
      index: the frame's number.
      piece: number of the piece, from 0; -1 if tracking failed.
      cam_from_world: float64 [4,4] in the tracker's unit, in the world of its piece; None if tracking failed.
      scale: factor on the frame's depth.
      keyframe: whether it became a keyframe.
      overlap, correlation, difference: of its alignment, see `Fit`; nan for the first of a piece and where features
        alone carried the camera.
      reason: why tracking failed, human-readable; empty otherwise.
      triangulated: float32 [K,4] of the points followed through it, once the path is adjusted to them: pixel (x, y)
        over the frame's width and height, log ratio of its depth to the frame's own, about the piece's median (or
        a measured scale), and that depth's deviation as parallax tells it; None before.
    """

    index: int
    piece: int
    cam_from_world: np.ndarray | None
    scale: float
    keyframe: bool
    overlap: float
    correlation: float
    difference: float
    reason: str
    triangulated: np.ndarray | None = None

    @property
    def pose(self) -> np.ndarray:
        """`cam_from_world` of a frame of a piece."""
        assert self.cam_from_world is not None
        return self.cam_from_world


def weighed_ratios(triangulated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the log ratios of `Tracked.triangulated`, within a factor of e, and the weight that each deserves."""
    return np.clip(triangulated[:, 2], -1, 1), 1 / (triangulated[:, 3] ** 2 + POINT_DEVIATION**2)


@dataclasses.dataclass
class _Keyframe:
    view: View
    cam_from_world: np.ndarray
    samples: np.ndarray  # [S,3] points in the world

    @property
    def world_from_cam(self) -> np.ndarray:
        return inverse_rigid(self.cam_from_world)


class CameraTracker:
    """Takes views in order and returns their poses.

    A frame is aligned with up to three keyframes: the last one, the one with most overlap, and the oldest one with
    enough overlap, so that errors do not accumulate when the camera returns.  Depth that bends
    from frame to frame may fit none of them although the eye loses nothing: then features followed from the frame
    before carry the camera on.
    """

    def __init__(self, rules: TrackingRules | None = None):
        self.rules = rules or TrackingRules()
        self.piece = -1
        self._keyframes: list[_Keyframe] = []
        self._last: tuple[View, np.ndarray] | None = None  # the last frame that was tracked
        self._velocity = np.eye(4)
        self._scale = 1.0  # of the last frame's depth
        self._lost = 0
        self._contrast: list[float] = []
        self._costs: list[float] = []
        self._fresh: View | None = None  # a frame that may start the next piece

    def push(self, view: View, later_from_earlier: np.ndarray | None = None) -> Tracked:
        """Tracks the next frame.

        Args:
          view: of the frame.
          later_from_earlier: predicted motion from the previous frame, in the tracker's unit, or None.
        """
        reason = self._unfit(view)
        if reason:
            return self._lose(view, reason, fit=None)
        self._contrast = [*self._contrast[-29:], view.contrast]
        if not self._keyframes:
            return self._begin(view)
        assert self._last is not None  # there is a keyframe
        before, before_from_world = self._last
        guesses = [self._velocity, np.eye(4)]
        guesses += [] if later_from_earlier is None else [later_from_earlier]
        starts = feature_starts(before.levels[0].maps, view.levels[0].maps, view.levels[0].intrinsics)
        guesses += starts.poses
        fit, pose = self._align(view, [rigid_exactly(guess) @ before_from_world for guess in guesses])
        reason = self._failed(fit)
        if reason and starts.carried is not None and view.index == before.index + 1:
            return self._carry(view, rigid_exactly(starts.carried) @ before_from_world)
        if reason:
            return self._lose(view, reason, fit)
        return self._keep(view, pose, fit)

    def _begin(self, view: View) -> Tracked:
        self.piece += 1
        self._lost, self._fresh, self._velocity, self._scale = 0, None, np.eye(4), 1.0
        pose = np.eye(4)
        self._keyframes = [_keyframe(view, pose)]
        self._last = (view, pose)
        return Tracked(view.index, self.piece, pose, 1.0, True, np.nan, np.nan, np.nan, "")

    def _keep(self, view: View, pose: np.ndarray, fit: Fit) -> Tracked:
        self._costs = [*self._costs[-29:], float(fit.cost)]
        self._arrive(view, pose)
        last = self._keyframes[-1]
        shift = np.linalg.norm((pose @ last.world_from_cam)[:3, 3])
        wanted = bool(
            _overlap(last, pose, view) < NEW_KEYFRAME_OVERLAP
            or shift > NEW_KEYFRAME_SHIFT
            or fit.correlation < NEW_KEYFRAME_CORRELATION
        )
        self._scale = float(np.exp(fit.log_scale))
        if wanted:
            self._add_keyframe(view, pose)
        measures = (float(fit.overlap), float(fit.correlation), float(fit.difference))
        return Tracked(view.index, self.piece, pose, self._scale, wanted, *measures, "")

    def _carry(self, view: View, pose: np.ndarray) -> Tracked:
        """A frame that only features hold: the surface begins anew from it, in the scale of the frame before."""
        self._arrive(view, pose)
        self._keyframes = []
        self._add_keyframe(view, pose)
        return Tracked(view.index, self.piece, pose, self._scale, True, np.nan, np.nan, np.nan, "")

    def _arrive(self, view: View, pose: np.ndarray) -> None:
        assert self._last is not None
        before, before_from_world = self._last
        near = view.index == before.index + 1
        self._velocity = pose @ inverse_rigid(before_from_world) if near else np.eye(4)
        self._last, self._lost, self._fresh = (view, pose), 0, None

    def _add_keyframe(self, view: View, pose: np.ndarray) -> None:
        self._keyframes.append(_keyframe(_rescaled(view, self._scale), pose))
        if len(self._keyframes) > MOST_KEYFRAMES:
            half = MOST_KEYFRAMES // 2
            self._keyframes = self._keyframes[:half:2] + self._keyframes[half:]

    def _lose(self, view: View, reason: str, fit: Fit | None) -> Tracked:
        self._lost += 1
        measures = (np.nan, np.nan, np.nan)
        if fit is not None:
            measures = (float(fit.overlap), float(fit.correlation), float(fit.difference))
        if self._keyframes and self._lost > self.rules.patience and fit is not None:
            # Two consecutive frames that agree start a piece; the first of them remains without a pose.
            if self._fresh is not None and self._agree(self._fresh, view):
                return self._begin(view)
            self._fresh = view
        return Tracked(view.index, -1, None, 1.0, False, *measures, reason)

    def _agree(self, first: View, second: View) -> bool:
        kept = self._keyframes, self._scale
        self._keyframes, self._scale = [_keyframe(first, np.eye(4))], 1.0
        starts = feature_starts(first.levels[0].maps, second.levels[0].maps, first.levels[0].intrinsics)
        fit, _ = self._align(second, [np.eye(4), *starts.poses])
        self._keyframes, self._scale = kept
        return not self._failed(fit)

    def _unfit(self, view: View) -> str:
        known = float((view.levels[0].maps[..., 4] > 0.5).mean())
        if known < 0.05:
            return f"depth is known in {100 * known:.0f}% of it"
        usual = float(np.median(self._contrast)) if self._contrast else view.contrast
        least = max(self.rules.least_contrast, self.rules.blur_share * usual)
        if view.contrast < least:
            return f"it shows almost nothing: texture of {view.contrast:.1f} grey levels, usually {usual:.1f}"
        return ""

    def _failed(self, fit: Fit) -> str:
        rules = self.rules
        if not np.isfinite(float(fit.cost)) or fit.overlap < rules.least_overlap:
            return f"it sees {100 * float(fit.overlap):.0f}% of the previous surface"
        if fit.correlation < rules.least_correlation:
            return f"its texture does not fit (correlation {float(fit.correlation):.2f})"
        if fit.difference > rules.most_difference:
            return f"its depth does not fit (off by {100 * float(fit.difference):.0f}%)"
        return ""

    def _align(self, view: View, starts: list[np.ndarray]) -> tuple[Fit, np.ndarray]:
        """The best initial pose by its cost on the coarsest level, then coarse to fine."""
        chosen = self._references(view, starts)
        active = np.array([1.0] * len(chosen) + [0.0] * (REFERENCES - len(chosen)), np.float32)
        filled = chosen + chosen[-1:] * (REFERENCES - len(chosen))
        sigma = self.rules.scale_sigma
        weight = np.float32(1 / sigma**2 if sigma else np.inf)
        usual = float(np.log(self._scale))  # a scale that has drifted is as far off in the next frame

        def run(pose, level, scale, steps):
            place = len(view.levels) - 1 - level
            surfaces = np.stack([keyframe.view.levels[place].surface for keyframe in filled])
            motions = np.stack([pose @ keyframe.world_from_cam for keyframe in filled]).astype(np.float32)
            own = view.levels[place]
            # The weight of a frame's depth grows with the number of pixels that it must balance.
            return align(
                surfaces, active, own.maps, own.intrinsics, motions, np.float32(scale), weight * 1e-2, steps=steps
            )

        def refined(pose):
            """Coarse to fine; a level that ends worse than it began, judged on the next one, is undone."""
            scale, fit = usual, None
            for level in range(len(view.levels)):
                fit = run(pose, level, scale, STEPS[level])
                found = rigid_exactly(np.asarray(fit.update, np.float64) @ pose), float(fit.log_scale)
                if level + 1 < len(view.levels):
                    after = run(found[0], level + 1, found[1], 0).cost
                    if run(pose, level + 1, scale, 0).cost <= after:
                        continue
                pose, scale = found
            return fit, pose

        costs = [float(run(pose, 0, usual, 0).cost) for pose in starts]
        first, *others = np.argsort(costs)
        best = refined(starts[first])
        for n in others:
            if not self._doubtful(best[0]):
                break
            fit, pose = refined(starts[n])
            if fit.cost < best[0].cost:
                best = fit, pose
        return best

    def _doubtful(self, fit: Fit) -> bool:
        """Whether an alignment is so much worse than earlier ones that another initial pose is worth trying."""
        if self._failed(fit):
            return True
        usual = float(np.median(self._costs)) if self._costs else float(fit.cost)
        return float(fit.cost) > DOUBTFUL * usual

    def _references(self, view: View, starts: list[np.ndarray]) -> list[_Keyframe]:
        """The last keyframe, the oldest one with enough overlap, and the remaining one with most overlap."""
        pose = starts[-1]  # from features, if available
        overlaps = [_overlap(keyframe, pose, view) for keyframe in self._keyframes]
        chosen = [len(overlaps) - 1]
        well = [n for n, overlap in enumerate(overlaps[:-1]) if overlap > REVISIT_OVERLAP]
        if well:
            chosen.append(well[0])
            rest = [n for n in well if n not in chosen]
            if rest:
                chosen.append(max(rest, key=lambda n: overlaps[n]))
        return [self._keyframes[n] for n in chosen]


def _keyframe(view: View, cam_from_world: np.ndarray) -> _Keyframe:
    surface = view.levels[-1].surface
    step = [max(1, size // SAMPLES) for size in surface.shape[:2]]
    some = surface[:: step[0], :: step[1]].reshape(-1, 8)
    points = some[some[:, 7] > 0.5, :3].astype(np.float64)
    world_from_cam = inverse_rigid(cam_from_world)
    return _Keyframe(view, cam_from_world, points @ world_from_cam[:3, :3].T + world_from_cam[:3, 3])


def _rescaled(view: View, scale: float) -> View:
    """The view with its depth times a factor."""
    if scale == 1.0:
        return view
    factor = np.array([1, 1, 1, scale, 1], np.float32)
    return dataclasses.replace(
        view, levels=tuple(dataclasses.replace(level, maps=level.maps * factor) for level in view.levels)
    )


def _overlap(keyframe: _Keyframe, cam_from_world: np.ndarray, view: View) -> float:
    """Fraction of a keyframe's sampled points inside a camera's view, ignoring occlusion."""
    if not len(keyframe.samples):
        return 0.0
    level = view.levels[-1]
    height, width = level.maps.shape[:2]
    x, y, z = cam_from_world[:3, :3] @ keyframe.samples.T + cam_from_world[:3, 3:]
    fx, fy, cx, cy = level.intrinsics
    ahead = np.maximum(z, 1e-6)
    u, v = fx * x / ahead + cx, fy * y / ahead + cy
    return float(((z > 1e-3) & (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)).mean())
