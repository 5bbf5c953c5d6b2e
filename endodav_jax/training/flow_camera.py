"""Camera motion solved from optical flow and the current depth, instead of being predicted by a pose network.

Selected by `train.objective.camera`.  Flow is part of the batch (`data.registration`).  Depth may be off by a shift in
disparity, which is estimated together with the motion and separated from it.  The camera is therefore available from
the first step, on any kind of scene, and depth need not distort to compensate for a camera that does not rotate.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from endodav_jax.data.registration import STRIDE
from endodav_jax.geometry.motion_from_flow import motion_from_flow
from endodav_jax.training.depth_objective import depth_objective
from endodav_jax.training.objective import Batch, Clip, for_each_frame, level_of_clips, moved_by
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.step import Objectives, objective_batch


def batch_with_flow(batch: dict[str, Array]) -> dict[str, Array]:
    """`step.objective_batch` with `neighbour_flow` [B,2,T,h,w,3]."""
    return objective_batch(batch) | {"neighbour_flow": batch["neighbour_flow"]}


def solved_camera(
    networks: nnx.Module, clip: Clip, batch: Batch, depth: Float[Array, "N H W"], config: ObjectiveConfig
) -> tuple[Float[Array, "2 N 4 4"], Float[Array, "N 4"]]:
    """The camera that explains the flow in the batch given the predicted depth, and the batch's intrinsics.

    See `depth_objective.Camera`.  The motion is treated as constant, except for its length: a clip's depth and the
    translations between its frames scale together; otherwise nothing would prevent the scale of depth from drifting.
    """
    del networks, clip, config
    intrinsics = for_each_frame(batch, "intrinsics")
    flow = jnp.moveaxis(batch["neighbour_flow"], 1, 0)
    flow = flow.reshape(2, -1, *flow.shape[3:])
    disparity = 1 / _pooled(jax.lax.stop_gradient(depth))
    small = jnp.concatenate([intrinsics[:, :2], intrinsics[:, 2:] - (STRIDE - 1) / 2], -1) / STRIDE

    def one_side(flow):
        found = motion_from_flow(flow[..., :2] / STRIDE, disparity, small, flow[..., 2], free_shift=True)
        return found.cam_b_from_cam_a

    motion = jax.lax.stop_gradient(jax.vmap(one_side)(flow))
    level = level_of_clips(depth, batch)
    return moved_by(motion, jnp.exp(level - jax.lax.stop_gradient(level))[:, None]), intrinsics


def _pooled(depth: Float[Array, "N H W"]) -> Float[Array, "N h w"]:
    count, height, width = depth.shape
    return depth.reshape(count, height // STRIDE, STRIDE, width // STRIDE, STRIDE).mean((2, 4))


SOLVED_CAMERA = Objectives(depth=functools.partial(depth_objective, camera=solved_camera), batch=batch_with_flow)
