"""Checks that depth, poses and camera of a sequence fit its pictures: a photometric test of the pose convention.

A pixel of frame a with depth Z is moved into frame b by `cam_b_from_cam_a` and the colours are compared.  With the
correct convention, P_b P_a^-1, they agree better than with the inverse one, P_b^-1 P_a, and better than
without any motion, provided that the camera moves enough.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import cv2
import numpy as np

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.data.sources.base import SourceFrame
from endodav_jax.geometry.pixels import resized_intrinsics
from endodav_jax.geometry.poses import inverse_rigid

MARGIN = 0.95  # ratio of errors below which one is considered better
LEAST_MOTION_PX = 0.5  # median motion below which the conventions cannot be distinguished
LEAST_POINTS = 64
MOST_POINTS = 20000
LONG_SIDE = 320  # size at which colours are compared, to reduce the effect of noise and compression
BLUR = 1.5


@dataclasses.dataclass(frozen=True)
class PoseDirection:
    """Mean photometric errors in grey levels over the same points of all pairs, and the conclusion.

    Attributes:
      cam_from_world: error with the poses unchanged, taken as world to camera.
      world_from_cam: error with the poses taken as camera to world.
      still: error without any motion.
      motion_px: median motion of points with the poses unchanged, in pixels of frames of `LONG_SIDE`.
      pairs: number of pairs of frames with enough points.
    """

    cam_from_world: float
    world_from_cam: float
    still: float
    motion_px: float
    pairs: int

    @property
    def verdict(self) -> str:
        """`cam_from_world`, `world_from_cam`, `neither` (standing still explains more) or `too little motion`."""
        if self.pairs == 0 or self.motion_px < LEAST_MOTION_PX:
            return "too little motion"
        best = min(self.cam_from_world, self.world_from_cam)
        if best > MARGIN * max(self.cam_from_world, self.world_from_cam):
            return "too little motion"
        if best > self.still:
            return "neither"
        return "cam_from_world" if self.cam_from_world == best else "world_from_cam"


def check_pose_direction(frames: Sequence[SourceFrame | EvaluationFrame]) -> PoseDirection:
    """Compares both readings of the poses on consecutive pairs of `frames` (any spacing), with dense or sparse depth.

    Colours are compared in grey, smoothed, without each frame's mean, so that exposure has no effect.  Frames
    without depth or pose are ignored.

    Returns:
      the errors; infinite when no pair has enough points.
    """
    errors, motions = [], []
    usable = [
        _Looked.at(frame, frame.depth_mm, frame.cam_from_world)
        for frame in frames
        if frame.depth_mm is not None and frame.cam_from_world is not None
    ]
    for a, b in itertools.pairwise(usable):
        readings = (b.pose @ inverse_rigid(a.pose), inverse_rigid(b.pose) @ a.pose, np.eye(4))
        places = [b.project(a.points, motion) for motion in readings]
        seen = np.logical_and.reduce([b.sees(place) for place in places])
        if seen.sum() < LEAST_POINTS:
            continue
        reference = a.grey_at(a.project(a.points, np.eye(4))[seen])
        errors.append([_contrast_error(b.grey_at(place[seen]), reference) for place in places])
        motions.append(np.median(np.linalg.norm(places[0] - places[2], axis=-1)[seen]))
    if not errors:
        return PoseDirection(np.inf, np.inf, np.inf, motion_px=0.0, pairs=0)
    right, reversed_, still = np.mean(errors, axis=0).tolist()
    return PoseDirection(right, reversed_, still, motion_px=float(np.median(motions)), pairs=len(errors))


def _contrast_error(grey: np.ndarray, reference: np.ndarray) -> float:
    return float(np.abs((grey - grey.mean()) - (reference - reference.mean())).mean())


@dataclasses.dataclass(frozen=True)
class _Looked:
    """A reduced frame: grey float32 [h, w], its camera, points float64 [n, 3] in it, and where the scene is visible."""

    grey: np.ndarray
    intrinsics: np.ndarray
    pose: np.ndarray
    points: np.ndarray
    view: np.ndarray

    @classmethod
    def at(cls, frame: SourceFrame | EvaluationFrame, depth_mm: np.ndarray, pose: np.ndarray) -> "_Looked":
        height, width = frame.frame.shape[:2]
        scale = min(1.0, LONG_SIDE / max(height, width))
        size = (round(width * scale), round(height * scale))
        rgb = cv2.resize(frame.frame, size, interpolation=cv2.INTER_AREA)
        view = np.ones((height, width), np.uint8) if frame.view_mask is None else frame.view_mask.astype(np.uint8)
        v, u = np.nonzero((depth_mm > 0) & (view > 0))
        # Every k-th known pixel at full size, so that sparse depth keeps its points.
        v, u = (axis[:: -(-len(v) // MOST_POINTS) or 1] for axis in (v, u))
        z = depth_mm[v, u].astype(np.float64)
        fx, fy, cx, cy = frame.intrinsics
        return cls(
            grey=cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), BLUR),
            intrinsics=resized_intrinsics(frame.intrinsics, (height, width), size[::-1]),
            pose=pose,
            points=np.stack([(u - cx) / fx * z, (v - cy) / fy * z, z], axis=-1),
            view=cv2.resize(view, size, interpolation=cv2.INTER_NEAREST) > 0,
        )

    def project(self, points: np.ndarray, motion: np.ndarray) -> np.ndarray:
        """Returns the pixels [n, 2] (x, y) of points after a motion; -1 behind the camera."""
        moved = points @ motion[:3, :3].T + motion[:3, 3]
        ahead = moved[:, 2:] > 1e-6
        fx, fy, cx, cy = self.intrinsics
        return np.where(ahead, moved[:, :2] / np.where(ahead, moved[:, 2:], 1.0) * (fx, fy) + (cx, cy), -1.0)

    def sees(self, place: np.ndarray) -> np.ndarray:
        """Returns bool [n]: pixels inside the picture and the view."""
        last = np.array(self.grey.shape[::-1]) - 1
        x, y = np.round(np.clip(place, 0, last)).astype(int).T
        return ((place >= 0) & (place <= last)).all(axis=1) & self.view[y, x]

    def grey_at(self, place: np.ndarray) -> np.ndarray:
        """Returns float32 [n], linearly between pixels."""
        x, y = place[:, :1], place[:, 1:]
        return cv2.remap(self.grey, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)[:, 0]
