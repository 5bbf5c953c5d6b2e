"""Evaluates camera motion and intrinsics predicted by a run's pose network against ground truth poses."""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.data.resize import resize_frame
from endodav_jax.errors import UserError
from endodav_jax.evaluation.pose_errors import snippet_errors
from endodav_jax.files import whole_file
from endodav_jax.geometry.pixels import PUBLISHED_SHAPE, resized_intrinsics
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.geometry.rigid import rigid_from_axis_angle
from endodav_jax.models.resnet import RESNETS
from endodav_jax.models.training_networks import motion_network


@dataclasses.dataclass(frozen=True)
class MotionScores:
    """The evaluated camera of a sequence.

    Attributes:
      trajectory_errors: [P] absolute trajectory errors of its snippets in mm; empty without ground truth poses.
      rotation_errors: [P] radians.
      world_from_cam: [N,4,4] predicted poses; with ground truth they start at its first pose and have the best scale,
        otherwise they start at the origin in the network's unit.
      truth_world_from_cam: [N,4,4], or None if a pose is unknown.
      intrinsics: mean predicted (fx, fy, cx, cy) in pixels of the stored frames; None without an intrinsics head.
      true_intrinsics: of the first frame, as stored.
      frame_index: [N] frame numbers.
    """

    trajectory_errors: np.ndarray
    rotation_errors: np.ndarray
    world_from_cam: np.ndarray
    truth_world_from_cam: np.ndarray | None
    intrinsics: np.ndarray | None
    true_intrinsics: np.ndarray
    frame_index: np.ndarray

    def means(self) -> dict[str, float]:
        """Mean errors over snippets: `ate` (mm) and `rotation_error` (radians); empty without ground truth."""
        if not len(self.trajectory_errors):
            return {}
        return {
            "ate": float(self.trajectory_errors.mean()),
            "rotation_error": float(self.rotation_errors.mean()),
        }


class MotionEstimator:
    """The pose network of a checkpoint, and its intrinsics head if it has one.

    Args:
      params: network -> weights and statistics, as returned by `checkpoints.load_model`; must contain `pose`.

    Raises:
      UserError: the pose network has an unknown size.
    """

    def __init__(self, params: dict[str, dict]):
        layers = _layers_of(params["pose"])
        self._predict = jax.jit(functools.partial(_predict, layers=layers))
        self._params = jax.device_put({name: params[name] for name in ("pose", "intrinsics") if name in params})

    def __call__(self, frames: Iterable[EvaluationFrame]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yields, for each frame but the first, the motion from the previous one, [4,4], and the intrinsics or None.

        Frames are stacked as in training, the later one first, which gives `later_from_earlier`.
        """
        before = None
        for frame in frames:
            height, width = frame.frame.shape[:2]
            # Larger frames are reduced to those on which the pose network was trained.
            shape = tuple(min(size, most) for size, most in zip((height, width), PUBLISHED_SHAPE, strict=True))
            now = resize_frame(frame, shape).frame.astype(np.float32)[None] / 255
            if before is not None:
                motion, intrinsics = self._predict(self._params, now, before)
                if intrinsics is not None:
                    intrinsics = resized_intrinsics(np.asarray(intrinsics, np.float64), shape, (height, width))
                yield np.asarray(motion, np.float64), intrinsics
            before = now


def score_motion(estimator: MotionEstimator, frames: Iterable[EvaluationFrame]) -> MotionScores | None:
    """Predicts the motion between all frames of a sequence and evaluates it; None for fewer than two frames.

    Relative motions are `later_from_earlier`.  In snippets they are multiplied in the published order; the whole
    trajectory uses the correct order.
    """
    poses, numbers, true_intrinsics = [], [], []

    def noted():
        for frame in frames:
            poses.append(frame.cam_from_world)
            numbers.append(frame.frame_index)
            true_intrinsics.append(frame.intrinsics)
            yield frame

    predictions = list(estimator(noted()))
    if not predictions:
        return None
    motions = np.stack([motion for motion, _ in predictions])
    world_from_cam = [np.eye(4)]
    for motion in motions:
        world_from_cam.append(world_from_cam[-1] @ inverse_rigid(motion))
    found = np.stack(world_from_cam)
    truth, errors = None, (np.zeros(0), np.zeros(0))
    known = [pose for pose in poses if pose is not None]
    if len(known) == len(poses):
        truth = np.stack([inverse_rigid(pose) for pose in known])
        wanted = np.stack([after @ inverse_rigid(now) for now, after in itertools.pairwise(known)])
        errors = snippet_errors(motions, wanted)
        found = _placed(found, truth)
    intrinsics = None
    if predictions[0][1] is not None:
        intrinsics = np.mean([camera for _, camera in predictions if camera is not None], axis=0)
    return MotionScores(*errors, found, truth, intrinsics, true_intrinsics[0], np.array(numbers))


def write_tum(path: Path, poses: np.ndarray, numbers: Iterable[int], unit: str = "mm") -> None:
    """Writes a trajectory: a line per frame, `number tx ty tz qx qy qz qw`, camera to world, in `unit`."""
    lines = [f"# frame tx ty tz qx qy qz qw (camera to world, {unit})"]
    for number, pose in zip(numbers, poses, strict=True):
        values = *pose[:3, 3], *_quaternion(pose[:3, :3])
        lines.append(f"{number} " + " ".join(f"{value:.9g}" for value in values))
    with whole_file(path) as part:
        part.write_text("\n".join(lines) + "\n")


def _placed(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Returns the predicted poses, starting at the first true pose, at the best scale."""
    start, local = truth[0], np.stack([inverse_rigid(truth[0]) @ pose for pose in truth])
    length = np.sum(found[:, :3, 3] ** 2)
    scaled = found.copy()
    scaled[:, :3, 3] *= np.sum(found[:, :3, 3] * local[:, :3, 3]) / length if length > 0 else 0.0
    return start @ scaled


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    """Returns the quaternion (x, y, z, w), w >= 0, of a rotation matrix, from its largest entry for accuracy."""
    trace = np.trace(rotation)
    squares = np.array([*(1 + 2 * np.diag(rotation) - trace), 1 + trace])  # four times x², y², z², w²
    largest = int(np.argmax(squares))
    r = rotation
    products = np.array([  # four times the product of each pair
        [squares[0], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[2, 1] - r[1, 2]],
        [r[0, 1] + r[1, 0], squares[1], r[1, 2] + r[2, 1], r[0, 2] - r[2, 0]],
        [r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], squares[2], r[1, 0] - r[0, 1]],
        [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], squares[3]],
    ])  # fmt: skip
    quaternion = products[largest] / np.linalg.norm(products[largest])
    return -quaternion if quaternion[3] < 0 else quaternion


def _predict(params: dict, later, earlier, *, layers: int):
    pose, head = (_networks(layers)[name] for name in ("pose", "intrinsics"))
    motion = nnx.merge(pose[0], params["pose"])(later, earlier, train=False)
    matrix = rigid_from_axis_angle(motion.axis_angle, motion.translation)[0]
    if "intrinsics" not in params:
        return matrix, None
    return matrix, nnx.merge(head[0], params["intrinsics"])(motion.features, *later.shape[1:3])[0]


def _layers_of(params: dict) -> int:
    """Returns the number of layers of the ResNet with these weights."""
    wanted = jax.tree.map(lambda leaf: leaf.shape, params["encoder"])
    for layers in RESNETS:
        if jax.tree.map(lambda leaf: leaf.shape, _networks(layers)["pose"][1]["encoder"]) == wanted:
            return layers
    known = ", ".join(map(str, RESNETS))
    raise UserError(f"weights: the pose network is not a ResNet of {known} layers; remove it from the checkpoint")


@functools.cache
def _networks(layers: int) -> dict[str, tuple[nnx.GraphDef, dict]]:
    """Returns network -> its structure, and the shapes of its weights and statistics in one tree."""

    def parts(name: str) -> tuple[nnx.GraphDef, dict]:
        graphdef, state = nnx.split(nnx.eval_shape(lambda: motion_network(name, nnx.Rngs(0), layers=layers)))
        return graphdef, nnx.to_pure_dict(state)

    return {name: parts(name) for name in ("pose", "intrinsics")}
