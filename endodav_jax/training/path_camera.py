"""The camera's path, solved over whole videos before training, in place of a pose network's answer.

`train.objective.camera` chooses it.  Points followed through many frames know the camera far better than two frames
do, and do so before depth is any good (`reconstruction.paths`).  The path also ties the depths of a clip's frames to
one scale, which pairs of frames solved each by itself cannot.
"""

import functools
import sys
from pathlib import Path

import jax.numpy as jnp
from jaxtyping import Array, Float

from endodav_jax.checkpoints import load_model
from endodav_jax.config import Config
from endodav_jax.data.camera_paths import LOST, CameraPaths
from endodav_jax.data.prepared import PreparedSplit
from endodav_jax.reconstruction.paths import origin_of, solve_paths
from endodav_jax.training.depth_objective import depth_objective
from endodav_jax.training.objective import (
    Batch,
    Clip,
    for_each_frame,
    level_of_clips,
    motion_to_neighbours,
    moved_by,
)
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.parallel import first_process_first
from endodav_jax.training.step import Objectives, objective_batch

PATHS_FILE = "camera_paths.npz"  # in a run's folder


def batch_with_path(batch: dict[str, Array]) -> dict[str, Array]:
    """`step.objective_batch` with what `data.contract.BATCH` says of a solved path."""
    return objective_batch(batch) | {name: batch[name] for name in ("path_pose", "path_log_depth", "path_points")}


def path_camera(
    networks: object, clip: Clip, batch: Batch, depth: Float[Array, "N H W"], config: ObjectiveConfig
) -> tuple[Float[Array, "2 N 4 4"], Float[Array, "N 4"]]:
    """The path's motion in the unit of the predicted depth, and the batch's intrinsics.

    See `depth_objective.Camera`.  A clip's mean log depth brings the path to its unit.  The gradient goes through that
    scale: without it the scale of depth would drift, held by nothing.
    """
    del networks, clip, config
    length = batch["frames"].shape[1] - 2
    unit = jnp.exp(level_of_clips(depth, batch) - jnp.repeat(batch["path_log_depth"][:, 1:-1].mean(1), length))
    motion = moved_by(motion_to_neighbours(batch["path_pose"]), unit[:, None])
    return motion, for_each_frame(batch, "intrinsics")


PATH_CAMERA = Objectives(depth=functools.partial(depth_objective, camera=path_camera), batch=batch_with_path)


def solved_paths(config: Config, workdir: Path) -> str:
    """Returns the file of the paths through the training split, solved unless it is there and of the same origin.

    The depth that solving starts from is that of the weights that training starts from.  Of several processes, the
    first solves.

    Raises:
      UserError: the file holds something else.
    """
    with first_process_first():
        return _solved_here(config, workdir)


def _solved_here(config: Config, workdir: Path) -> str:
    file, split = workdir / PATHS_FILE, PreparedSplit.open(config.data.path, config.data.split)
    model, params, _ = load_model(config.weights)
    solved_from = split, model, params["depth"], config.model.image_shape
    paths = CameraPaths.read(file) if file.exists() else None
    stale = paths is not None and paths.origin != origin_of(*solved_from)
    if paths is None or stale:
        if stale:
            what = "solved from other weights, frames or image shape, or by an older version"
            print(f"{file}: {what}; solving it anew", file=sys.stderr)
        paths = solve_paths(*solved_from)
        paths.save(file)
    known, taught = int((paths.piece != LOST).sum()), int((paths.points[..., 3] > 0).any(1).sum())
    print(
        f"camera paths: known in {known} of {len(paths.piece)} frames; points of reliable depth in {taught}", flush=True
    )
    if config.train.objective.points_weight and not taught:
        print(f"{file}: no points of reliable depth, so train.objective.points_weight changes nothing", file=sys.stderr)
    return str(file)
