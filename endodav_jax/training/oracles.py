"""Objectives that are given ground truth, to see which part of the method breaks on a data set.

A batch with ground truth (`data.ground_truth`) gives the camera's true motion, and depth to tell which pixels both
frames see.  Predicted depth is brought to the true scale of its clip, and the gradient goes through that scale: without
it the scale drifts, held by nothing, until the network's last ReLU is dead.

`SUPERVISED` is given the depth itself: what the trained parameters could reach on these data with a perfect loss.
`SUPERVISED_IN_TIME` is also given how depth changes from frame to frame, which is what TAE measures.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from endodav_jax.geometry.camera import reproject
from endodav_jax.geometry.sampling import sample_bilinear
from endodav_jax.losses.reduce import masked_mean, masked_mean_of_pairs
from endodav_jax.losses.smoothness import edge_aware_differences, mean_normalised, pair_masks
from endodav_jax.training.depth_objective import SMOOTHNESS, DepthAux, Pictures, depth_objective
from endodav_jax.training.flow_objective import PREFIX, FlowAux
from endodav_jax.training.health import health_of
from endodav_jax.training.objective import (
    Batch,
    Clip,
    all_in_windows,
    clip_of,
    for_each_frame,
    lands_on_counted,
    motion_to_neighbours,
    moved_by,
    photometric_errors,
    statistics_of,
    to_full_size,
)
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.step import Objectives, objective_batch
from endodav_jax.training.view_synthesis import REPROJECTION

SUPERVISED_ERROR = "error_of_log_depth"
FLICKER = "change_of_that_error"
STEADINESS = 5.0  # weight of the changes in time
SAME_POINT = 0.03  # depths that differ by a smaller share belong to one point of the scene


def batch_with_truth(batch: dict[str, Array]) -> dict[str, Array]:
    """`step.objective_batch` with `depth_mm` [B,T+2,H,W] and `cam_from_world` [B,T+2,4,4]."""
    return objective_batch(batch) | {name: batch[name] for name in ("depth_mm", "cam_from_world")}


def true_motion(batch: Batch) -> Float[Array, "2 N 4 4"]:
    """Returns the motion from each frame's camera to those before and after it, in mm."""
    return motion_to_neighbours(batch["cam_from_world"])


def scale_to_truth(depth: Float[Array, "N H W"], batch: Batch) -> Float[Array, "N 1 1"]:
    """Returns what each frame's depth is to be multiplied by: one number a clip, which makes mean log depth true."""
    truth = _true_depth(batch)
    clips, length = batch["depth_mm"].shape[0], batch["depth_mm"].shape[1] - 2
    known = truth > 0
    ratio = jnp.where(known, jnp.log(jnp.where(known, truth, 1.0)) - jnp.log(depth), 0.0)
    ratio, known = (part.reshape(clips, -1) for part in (ratio, known))
    scale = jnp.exp(ratio.sum(1) / jnp.maximum(known.sum(1), 1))
    return jnp.repeat(scale, length)[:, None, None]


def true_camera(networks: nnx.Module, clip: Clip, batch: Batch, depth: Float[Array, "N H W"], config: ObjectiveConfig):
    """The true camera in the unit of the predicted depth; see `depth_objective.Camera`."""
    del networks, clip, config
    motion = moved_by(true_motion(batch), 1 / scale_to_truth(depth, batch)[:, 0])
    return motion, for_each_frame(batch, "intrinsics")


def truly_visible(batch: Batch) -> Bool[Array, "2 N H W"]:
    """Returns which pixels of each frame its neighbours see too, as true depth and motion say."""
    truth, motion = _true_depth(batch), true_motion(batch)
    intrinsics = for_each_frame(batch, "intrinsics")
    height, width = truth.shape[1:]
    known = truth > 0

    def one_side(motion, neighbour_truth):
        pixels, depth_there = reproject(jnp.where(known, truth, 1.0), intrinsics, motion)
        x, y = pixels[..., 0], pixels[..., 1]
        inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
        found = sample_bilinear(neighbour_truth[..., None], pixels, "border")[..., 0]
        return known & inside & (jnp.abs(found - depth_there) < SAME_POINT * depth_there)

    depth = batch["depth_mm"]
    neighbours = [part.reshape(-1, height, width) for part in (depth[:, :-2], depth[:, 2:])]
    return jnp.stack([one_side(*side) for side in zip(motion, neighbours, strict=True)])


def no_flow_objective(
    trainable: dict, frozen: dict, statistics: dict, batch: Batch, *, graphdef: nnx.GraphDef, config, axis_name=None
) -> tuple[Float[Array, ""], FlowAux]:
    """In place of `flow_objective` where no flow is needed: nothing is learned, and hardly anything computed."""
    del frozen, batch, graphdef, config, axis_name
    loss = sum(0.0 * leaf.sum() for leaf in jax.tree.leaves(trainable))
    return loss, FlowAux({f"{PREFIX}loss": loss}, statistics)


def true_view_objective(
    trainable: dict,
    frozen: dict,
    statistics: dict,
    batch: Batch,
    *,
    graphdef: nnx.GraphDef,
    config: ObjectiveConfig,
    projection: bool,
    axis_name: str | None = None,
) -> tuple[Float[Array, ""], DepthAux]:
    """Photometric error and smoothness at the finest scale, by the true camera and the true visibility.

    Depth alone is learned; light is taken as it is.  See `depth_objective` for the arguments.
    """
    del projection
    networks = nnx.merge(graphdef, trainable, frozen, statistics, copy=True)
    clip = clip_of(batch, config)
    disparity, depth = _predicted(networks.depth, batch)
    motion, intrinsics = true_camera(networks, clip, batch, depth, config)
    visible = truly_visible(batch)

    warped, errors = [], []
    for side in (0, 1):
        pixels, _ = reproject(depth, intrinsics, motion[side])
        warped.append(sample_bilinear(clip.neighbours[side], pixels, "border"))
        counted = visible[side] & clip.valid_windows
        if clip.neighbours_left_out is not None:
            counted &= all_in_windows(lands_on_counted(clip.neighbours_left_out[side], pixels))
        error = photometric_errors(warped[-1], clip.frames, config)
        errors.append(masked_mean(error, counted, axis_name))
    differences = edge_aware_differences(mean_normalised(disparity, clip.valid[0])[..., None], clip.frames)
    smoothness = masked_mean_of_pairs(*differences, pair_masks(clip.valid[0]), axis_name)
    parts = {REPROJECTION: sum(errors, jnp.float32(0)) / 2, SMOOTHNESS: config.disparity_smoothness * smoothness}
    return _with_aux(
        parts, networks, clip, batch, (disparity, depth), (motion, intrinsics), (jnp.stack(warped), visible)
    )


def supervised_objective(
    trainable: dict,
    frozen: dict,
    statistics: dict,
    batch: Batch,
    *,
    graphdef: nnx.GraphDef,
    config: ObjectiveConfig,
    projection: bool,
    axis_name: str | None = None,
    steadiness: float = 0.0,
) -> tuple[Float[Array, ""], DepthAux]:
    """Mean absolute error of log depth, brought to the true scale of its clip, and of its changes in time.

    Depth alone is learned.  See `depth_objective` for the other arguments.

    Args:
      steadiness: weight of the error's mean absolute change from one frame to the next; a clip's frames must be
        consecutive for that.
    """
    del projection
    networks = nnx.merge(graphdef, trainable, frozen, statistics, copy=True)
    clip = clip_of(batch, config)
    disparity, depth = _predicted(networks.depth, batch)
    camera = true_camera(networks, clip, batch, depth, config)
    truth = _true_depth(batch)
    counted = (truth > 0) & clip.valid[0]
    error = jnp.log(depth * scale_to_truth(depth, batch)) - jnp.log(jnp.where(counted, truth, 1.0))
    parts = {SUPERVISED_ERROR: masked_mean(jnp.abs(error), counted, axis_name)}
    if steadiness:
        clips = batch["frames"].shape[0]
        error, known = (part.reshape(clips, -1, *part.shape[1:]) for part in (error, counted))
        change, both = error[:, 1:] - error[:, :-1], known[:, 1:] & known[:, :-1]
        parts[FLICKER] = steadiness * masked_mean(jnp.abs(change), both, axis_name)
    visible = jnp.broadcast_to(counted, (2, *counted.shape))
    return _with_aux(parts, networks, clip, batch, (disparity, depth), camera, (clip.neighbours, visible))


def _predicted(depth_network: Any, batch: Batch) -> tuple[Float[Array, "N H W"], Float[Array, "N H W"]]:
    """Returns disparity and depth of a clip's frames, at the size of the frames."""
    shape = batch["frames"].shape[2:4]
    disparity = depth_network(batch["frames_augmented"][:, 1:-1], batch["view_mask"])[0]
    disparity = to_full_size([disparity.reshape(-1, *disparity.shape[2:], 1)], shape)[0, ..., 0]
    return disparity, depth_network.config.depth(disparity)


def _with_aux(parts: dict, networks: nnx.Module, clip: Clip, batch: Batch, found, camera, seen) -> tuple:
    """Returns the sum of a loss's parts with all that is logged and drawn of a step."""
    (disparity, depth), (motion, intrinsics), (warped, visible) = found, camera, seen
    loss = sum(parts.values(), jnp.float32(0))
    losses = {f"loss/{name}/0": part for name, part in parts.items()} | {"loss/0": loss, "loss": loss}
    still = jnp.broadcast_to(clip.frames, clip.neighbours.shape)
    nothing = jnp.zeros((*still.shape[:-1], 2))
    pictures = Pictures(clip.frames, warped, still, visible.astype(jnp.float32), disparity, depth, nothing)
    in_view = for_each_frame(batch, "view_mask")
    health = health_of(disparity, depth, motion, in_view)
    return loss, DepthAux(losses, statistics_of(networks), motion, intrinsics, jax.lax.stop_gradient(pictures), health)


def _true_depth(batch: Batch) -> Float[Array, "N H W"]:
    depth = batch["depth_mm"][:, 1:-1]
    return depth.reshape(-1, *depth.shape[2:])


TRUE_VIEW = Objectives(no_flow_objective, true_view_objective, batch_with_truth)
SUPERVISED = Objectives(no_flow_objective, supervised_objective, batch_with_truth)
SUPERVISED_IN_TIME = Objectives(
    no_flow_objective, functools.partial(supervised_objective, steadiness=STEADINESS), batch_with_truth
)
TRUE_CAMERA = Objectives(depth=functools.partial(depth_objective, camera=true_camera), batch=batch_with_truth)
