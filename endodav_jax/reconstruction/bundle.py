"""Bundle adjustment of a segment of frames: poses, and an individual depth for every tracked point.

A network's depth is distorted: if its surfaces are aligned as if rigid, they pull the camera off its path, the more the
better they fit.  Here it is only a prior on the depth of each point, which the parallax of the points can override.
The deviations of depth and of pixels are estimated as well, so accurate depth gets a high weight.
Levenberg-Marquardt with points eliminated (Triggs et al. 1999); residuals follow Student's t.
"""

import dataclasses

import cv2
import numpy as np
import scipy.linalg
import scipy.ndimage
import scipy.sparse

from endodav_jax.geometry.poses import inverse_rigid

MOST_STEPS = 30
TOLERANCE = 1e-4  # relative decrease of the cost below which the optimisation has converged
FREEDOM = 2.0  # of Student's t: many points slide
PIXELS, DEPTH = 0.3, 0.1  # initial deviations: pixels, and log depth
LEAST_PIXELS, LEAST_DEPTH, MOST_DEPTH = 0.05, 0.003, 0.5
PRIOR_INFLATION = 3.0  # errors of neighbouring points are correlated: factor on the deviation of their priors
DRIFT_PER_FRAME = 0.2  # fraction by which a point's variance grows with each frame in which it is tracked
# Of a tracked motion between neighbours: radians, units of median depth.
ROTATION_DEVIATION, TRANSLATION_DEVIATION = 0.1, 0.1
FEWEST = 3  # observations per point


@dataclasses.dataclass(frozen=True)
class Bundle:
    """The result.

    Attributes:
      cam_from_world: float64 [N,4,4].
      log_scales: [N] of the frames' depth: median over their points.
      log_depths: [P] of the points, in the first frame that observed each.
      deviations: [P] of them as parallax alone tells; what a point's observations are off by is theirs in common, since
        it slides from frame to frame, so that many tell no more than their mean.
      ratios: [O] log ratio of each observed point's depth to the frame's own, nan where that is unknown.
      pixels, depth: estimated deviations of observations (pixels) and of log depth.
    """

    cam_from_world: np.ndarray
    log_scales: np.ndarray
    log_depths: np.ndarray
    deviations: np.ndarray
    ratios: np.ndarray
    pixels: float
    depth: float


@dataclasses.dataclass(frozen=True)
class Observed:
    """Points of a segment.

    Attributes:
      first: [P] the first frame that observed each.
      rays: [P,3] K⁻¹ (u, v, 1) in that frame.
      log_depths: [P] prior in that frame.
      frame, point: [O] of the further observations.
      pixels: [O,2].
      depths: [O] according to the frame's own depth, nan where unknown.
      intrinsics: [4] in pixels of the observations.
    """

    first: np.ndarray
    rays: np.ndarray
    log_depths: np.ndarray
    frame: np.ndarray
    point: np.ndarray
    pixels: np.ndarray
    depths: np.ndarray
    intrinsics: np.ndarray

    @classmethod
    def of(cls, frame, name, pixels, depth, intrinsics: np.ndarray) -> "Observed":
        """From observations in frame order; points with fewer than `FEWEST` observations or no depth are dropped."""
        _, begins, point, counts = np.unique(name, return_index=True, return_inverse=True, return_counts=True)
        kept = (counts >= FEWEST) & np.isfinite(depth[begins])
        begins, number = begins[kept], np.cumsum(kept) - 1
        later = kept[point]
        later[begins] = False
        rays = np.column_stack([(pixels[begins] - intrinsics[2:]) / intrinsics[:2], np.ones(len(begins))])
        return cls(
            frame[begins], rays, np.log(depth[begins]), frame[later], number[point[later]], pixels[later],
            depth[later], np.asarray(intrinsics, np.float64),
        )  # fmt: skip


def adjust(
    cam_from_world: np.ndarray,
    log_scales: np.ndarray,
    fixed: np.ndarray,
    seen: Observed,
    scale_deviation: float,
) -> Bundle:
    """Adjusts poses and depths to the observations.

    Args:
      cam_from_world: float64 [N,4,4], initial poses.
      log_scales: [N] of the frames' depth, initial values.
      fixed: bool [N], frames with fixed poses; at least one.
      seen: the points.
      scale_deviation: prior deviation of the frames' log scale about 0.
    """
    system = _System(seen, cam_from_world, fixed, scale_deviation)
    state = cam_from_world.copy(), log_scales.copy(), seen.log_depths + log_scales[seen.first]
    damping = 1e-4
    for step in range(MOST_STEPS):
        linear = system.linearised(*state, estimate=step > 0)
        before, after = system.cost(*state), np.inf
        while damping < 1e4:
            moved = system.moved(*state, *system.solved(linear, damping))
            after = system.cost(*moved)
            if after < before:
                break
            damping *= 10
        if not after < before:
            break
        state, damping = moved, max(damping / 5, 1e-8)
        if step > 3 and before - after < TOLERANCE * abs(before):
            break
    poses, scales, depths = state
    by_parallax = system.linearised(*state, estimate=False)[2] - system.trust(depths, scales)
    often = np.bincount(seen.point, minlength=len(depths))
    deviations = np.sqrt(often / np.maximum(by_parallax, 1e-6))
    ratios = system.ratios(poses, depths)
    scales = system.scales_of(scales, depths, ratios)
    return Bundle(poses, scales, depths, deviations, ratios, system.pixels, system.depth)


class _System:
    """Costs, normal equations and steps; the unknowns of each frame are rotation, translation and log scale."""

    def __init__(self, seen: Observed, start, fixed: np.ndarray, scale_deviation: float):
        self.seen, self.intrinsics, self.scale_deviation = seen, seen.intrinsics, scale_deviation
        free = np.ones((len(fixed), 7), bool)
        free[fixed, :6] = False
        self.free = np.flatnonzero(free)
        self.frames = len(fixed)
        self.anchor = seen.first[seen.point]
        self.sureness = 1 / (1 + DRIFT_PER_FRAME * np.abs(seen.frame - self.anchor))
        self.pixels, self.depth = PIXELS, DEPTH
        # With few points, the tracked motion remains as a constraint.
        self.tracked = start[1:] @ inverse_rigid(start[:-1])
        shift = TRANSLATION_DEVIATION * float(np.exp(np.median(seen.log_depths)))
        self.holding = 1 / np.repeat([ROTATION_DEVIATION, shift], 3) ** 2

    def _departed(self, poses) -> np.ndarray:
        """Deviations of motions between neighbours from the tracked ones, [N-1,6]."""
        difference = poses[1:] @ inverse_rigid(poses[:-1]) @ inverse_rigid(self.tracked)
        return np.stack([np.concatenate([cv2.Rodrigues(m[:3, :3])[0][:, 0], m[:3, 3]]) for m in difference])

    def _projected(self, poses, depths):
        """Motions from each anchor [O,4,4], points there and here [O,3], and residuals in pixels [O,2]."""
        relative = poses[self.seen.frame] @ inverse_rigid(poses)[self.anchor]
        there = (self.seen.rays * np.exp(depths)[:, None])[self.seen.point]
        here = np.einsum("oij,oj->oi", relative[:, :3, :3], there) + relative[:, :3, 3]
        ahead = np.maximum(here[:, 2:], 1e-3 * there[:, 2:])
        off = self.intrinsics[:2] * here[:, :2] / ahead + self.intrinsics[2:] - self.seen.pixels
        return relative, there, np.concatenate([here[:, :2], ahead], 1), off * np.sqrt(self.sureness)[:, None]

    def ratios(self, poses, depths) -> np.ndarray:
        """Log ratio of the points' depth to that of the frames that observe them, [O]."""
        _, _, here, _ = self._projected(poses, depths)
        return np.log(here[:, 2] / self.seen.depths)

    def scales_of(self, scales, depths, ratios) -> np.ndarray:
        """Median log ratio of the points' depth to each frame's own, where available."""
        told = np.concatenate([depths - self.seen.log_depths, ratios])
        frame = np.concatenate([self.seen.first, self.seen.frame])
        known = np.isfinite(told)
        median = scipy.ndimage.median(told[known], frame[known], np.arange(self.frames))
        return np.where(np.bincount(frame[known], minlength=self.frames) > 0, median, scales)

    def trust(self, depths, scales) -> np.ndarray:
        """Weight of each point's expected depth, [P]."""
        deviation = PRIOR_INFLATION * self.depth
        astray = depths - self.seen.log_depths - scales[self.seen.first]
        return (FREEDOM + 1) / (FREEDOM + (astray / deviation) ** 2) / deviation**2

    def cost(self, poses, scales, depths) -> float:
        """Negative log likelihood with the current deviations."""
        *_, off = self._projected(poses, depths)
        astray = (depths - self.seen.log_depths - scales[self.seen.first]) / (PRIOR_INFLATION * self.depth)
        return float(
            0.5 * (FREEDOM + 2) * np.log1p((off**2).sum(1) / self.pixels**2 / FREEDOM).sum()
            + 0.5 * (FREEDOM + 1) * np.log1p(astray**2 / FREEDOM).sum()
            + 0.5 * (scales**2).sum() / self.scale_deviation**2
            + 0.5 * (self._departed(poses) ** 2 * self.holding).sum()
        )

    def linearised(self, poses, scales, depths, estimate: bool):
        """Normal equations: of frames (matrix, vector), of points (diagonal, vector), and between them."""
        seen, count = self.seen, len(self.seen.first)
        relative, there, here, off = self._projected(poses, depths)
        square = (off**2).sum(1)
        for _ in range(3 if estimate else 0):
            weighed = (FREEDOM + 2) / (FREEDOM + square / self.pixels**2) * square
            self.pixels = max(float(np.sqrt(weighed.mean() / 2)), LEAST_PIXELS)
        weight = (FREEDOM + 2) / (FREEDOM + square / self.pixels**2) / self.pixels**2
        by_frame, by_anchor, by_depth = self._derivatives(relative, there, here)
        astray = depths - seen.log_depths - scales[seen.first]
        trust = self.trust(depths, scales)
        diagonal = np.bincount(seen.point, weight * (by_depth**2).sum(1), count) + trust
        if estimate:  # include the uncertainty of each depth; otherwise little parallax would look like accurate depth
            pull = (FREEDOM + 1) / (FREEDOM + (astray / self.depth) ** 2)
            found = np.sqrt((pull * (astray**2 + 1 / diagonal)).mean())
            self.depth = float(np.clip(found, LEAST_DEPTH, MOST_DEPTH))
        of_points = np.bincount(seen.point, weight * (by_depth * off).sum(1), count) + trust * astray
        root = np.sqrt(weight)[:, None]
        frames = self._sparse(
            [root[..., None] * by_frame, root[..., None] * by_anchor],
            [7 * seen.frame[:, None] + np.arange(6), 7 * self.anchor[:, None] + np.arange(6)],
            7 * self.frames,
        )
        points = self._sparse([(root * by_depth)[..., None]], [seen.point[:, None]], count)
        matrix = (frames.T @ frames).toarray()
        vector = frames.T @ (root * off).ravel()
        own = 7 * np.arange(self.frames) + 6
        matrix[own, own] += np.bincount(seen.first, trust, self.frames) + 1 / self.scale_deviation**2
        vector[own] += scales / self.scale_deviation**2 - np.bincount(seen.first, trust * astray, self.frames)
        motions = poses[1:] @ inverse_rigid(poses[:-1])
        for later, (motion, departed) in enumerate(zip(motions, self._departed(poses), strict=True), 1):
            both = np.r_[7 * later - 7 : 7 * later - 1, 7 * later : 7 * later + 6]
            derivative = np.concatenate([-_carried(motion), np.eye(6)], 1)
            matrix[np.ix_(both, both)] += derivative.T @ (self.holding[:, None] * derivative)
            vector[both] += derivative.T @ (self.holding * departed)
        between = frames.T @ points
        between = between + scipy.sparse.csr_matrix((-trust, (7 * seen.first + 6, np.arange(count))), between.shape)
        free = self.free
        return matrix[np.ix_(free, free)], vector[free], diagonal, of_points, between.tocsr()[free]

    def solved(self, linear, damping: float) -> tuple[np.ndarray, np.ndarray]:
        """Steps of the frames [N,7] and of the points [P]."""
        matrix, vector, diagonal, of_points, between = linear
        diagonal = diagonal * (1 + damping)
        scaled = between.multiply(1 / diagonal).tocsr()
        reduced = matrix - (scaled @ between.T).toarray()
        reduced[np.diag_indices_from(reduced)] += damping * np.diag(matrix) + 1e-9
        step = np.zeros(7 * self.frames)
        try:
            step[self.free] = -scipy.linalg.solve(reduced, vector - scaled @ of_points, assume_a="sym")
        except np.linalg.LinAlgError:
            return np.full((self.frames, 7), np.nan), np.zeros(len(diagonal))
        return step.reshape(-1, 7), np.clip(-(of_points + between.T @ step[self.free]) / diagonal, -0.5, 0.5)

    @staticmethod
    def moved(poses, scales, depths, of_frames, of_points):
        """The state after a step."""
        motions = np.tile(np.eye(4), (len(poses), 1, 1))
        for motion, step in zip(motions, of_frames, strict=True):
            motion[:3, :3], motion[:3, 3] = cv2.Rodrigues(step[:3])[0], step[3:6]
        return motions @ poses, scales + of_frames[:, 6], depths + of_points

    def _derivatives(self, relative, there, here):
        """Derivatives of the residuals by the frame's motion [O,2,6], by the anchor's, and by log depth [O,2]."""
        fx, fy = self.intrinsics[:2]
        x, y, z = here.T
        by_point = np.zeros((len(here), 2, 3))
        by_point[:, 0, 0], by_point[:, 0, 2] = fx / z, -fx * x / z**2
        by_point[:, 1, 1], by_point[:, 1, 2] = fy / z, -fy * y / z**2
        by_point *= np.sqrt(self.sureness)[:, None, None]
        turned = by_point @ relative[:, :3, :3]
        by_frame = np.concatenate([by_point @ _turns(here), by_point], -1)
        by_anchor = -np.concatenate([turned @ _turns(there), turned], -1)
        return by_frame, by_anchor, np.einsum("oki,oi->ok", turned, there)

    @staticmethod
    def _sparse(values: list[np.ndarray], columns: list[np.ndarray], width: int) -> scipy.sparse.csr_matrix:
        """Rows (observation, x or y), from values [O,2,C] at columns [O,C]."""
        count = len(values[0])
        rows = np.arange(2 * count).reshape(count, 2, 1)
        entries = [
            (block.ravel(), np.broadcast_to(rows, block.shape).ravel(), np.repeat(column[:, None], 2, 1).ravel())
            for block, column in zip(values, columns, strict=True)
        ]
        data, row, column = (np.concatenate(part) for part in zip(*entries, strict=True))
        return scipy.sparse.csr_matrix((data, (row, column)), (2 * count, width))


def _turns(points: np.ndarray) -> np.ndarray:
    """Derivatives of rotated points by the rotation, -[p]×, [O,3,3]."""
    x, y, z = points.T
    zero = np.zeros_like(x)
    return np.stack([np.stack(row, -1) for row in ((zero, z, -y), (-z, zero, x), (y, -x, zero))], 1)


def _carried(motion: np.ndarray) -> np.ndarray:
    """The effect of a small (rotation, translation) of the earlier camera on the later one, [6,6]."""
    rotation, (x, y, z) = motion[:3, :3], motion[:3, 3]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.block([[rotation, np.zeros((3, 3))], [cross @ rotation, rotation]])
