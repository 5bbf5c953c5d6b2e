"""One step of supervised training of the motion networks, where depth and camera motion are known.

They learn what self-supervised training will ask of them: flow and motion between neighbouring frames, the
intrinsics, and the change of brightness between a frame and its registered neighbour.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float

from endodav_jax.data.augment import colour_jitter, to_float
from endodav_jax.geometry.camera import reproject
from endodav_jax.geometry.flow import flow_targets, rigid_flow, warp_by_flow
from endodav_jax.geometry.resize import resize_align_corners
from endodav_jax.geometry.rigid import rigid_from_axis_angle
from endodav_jax.losses.reduce import masked_mean, masked_mean_of_pairs
from endodav_jax.losses.smoothness import edge_aware_differences, pair_masks
from endodav_jax.models.flow import FlowNet, TransformNet
from endodav_jax.models.layers import Numerics
from endodav_jax.models.pose import IntrinsicsHead, PoseNet

State = dict[str, Any]  # params, statistics: pure nested dicts; opt

DEPTH_UNIT = 0.1  # depth of a disparity of 1: fine-tuning starts with networks that agree on the scale
INTRINSICS_WEIGHT = 5.0  # of a deviation given in widths of the frame, against errors in pixels
TRANSFORM_WEIGHT = 10.0
TRANSFORM_SMOOTHNESS = 0.1


class MotionNetworks(nnx.Module):
    """The motion networks of `TrainingNetworks`, under the same names."""

    def __init__(self, rngs: nnx.Rngs, layers: int):
        numerics = Numerics.of("float32")
        self.pose = PoseNet(rngs, layers=layers, numerics=numerics)
        self.intrinsics = IntrinsicsHead(rngs, layers=layers)
        self.flow = FlowNet(rngs, layers=layers, numerics=numerics)
        self.transform = TransformNet(rngs, layers=layers, numerics=numerics)


@functools.partial(jax.jit, static_argnames=("graphdef", "optimiser"), donate_argnames="state")
def motion_step(
    state: State, batch: dict[str, Array], *, graphdef: nnx.GraphDef, optimiser: optax.GradientTransformation
) -> tuple[State, dict[str, Array]]:
    """Trains all motion networks on the neighbouring frames of a batch of clips, in both orders.

    Args:
      state: parameters, BatchNorm statistics and optimiser state.
      batch: frames uint8 [B,T,H,W,3], depth_mm float32 [B,T,H,W], cam_from_world float32 [B,T,4,4] (mm), intrinsics
        float32 [B,4], jitter float32 [B,4], jitter_order int32 [B,4].
      graphdef: of `MotionNetworks`.
      optimiser: of the parameters.

    Returns:
      The new state, and the losses.
    """

    def objective(params):
        networks = nnx.merge(graphdef, params, state["statistics"], copy=True)
        losses = motion_losses(networks, batch)
        return sum(losses.values()), (losses, nnx.to_pure_dict(nnx.state(networks, nnx.BatchStat)))

    (loss, (losses, statistics)), grads = jax.value_and_grad(objective, has_aux=True)(state["params"])
    updates, opt = optimiser.update(grads, state["opt"], state["params"])
    params = optax.apply_updates(state["params"], updates)
    return {"params": params, "statistics": statistics, "opt": opt}, losses | {"loss": loss}


def motion_losses(networks: MotionNetworks, batch: dict[str, Array]) -> dict[str, Float[Array, ""]]:
    """Returns what the networks, in training mode, get wrong: flow and reprojection in pixels, and the rest."""
    plain = to_float(batch["frames"])
    seen = colour_jitter(plain, batch["jitter"], batch["jitter_order"])
    frame, neighbour = _ordered_pairs(plain)
    seen_frame, seen_neighbour = _ordered_pairs(seen)
    shape = frame.shape[1:3]
    depth, _ = _ordered_pairs(_in_units(batch["depth_mm"], batch["depth_mm"]))
    motion = _relative_motion(batch)
    intrinsics = jnp.repeat(batch["intrinsics"], frame.shape[0] // batch["frames"].shape[0], axis=0)

    true_flow = rigid_flow(depth, intrinsics, motion)
    counted = (depth > 0) & _inside(flow_targets(true_flow))
    registration = warp_by_flow(neighbour, true_flow, "border")

    flows = networks.flow(seen_neighbour, seen_frame, train=True)
    flow_errors = [_length(resize_align_corners(flow, shape) - true_flow) for flow in flows]

    predicted = networks.pose(seen_neighbour, seen_frame, train=True)
    there, _ = reproject(depth, intrinsics, rigid_from_axis_angle(predicted.axis_angle, predicted.translation))
    found_intrinsics = networks.intrinsics(predicted.features, *shape)

    transforms = networks.transform(registration, frame, train=True)
    masks = pair_masks(counted)
    transform_loss = jnp.float32(0)
    for transform in transforms:
        transform = resize_align_corners(transform, shape)
        transform_loss += masked_mean(jnp.abs(frame + transform - registration).mean(-1), counted)
        pairs = edge_aware_differences(transform, frame - registration)
        transform_loss += TRANSFORM_SMOOTHNESS * masked_mean_of_pairs(*pairs, masks)

    return {
        "flow": sum(masked_mean(error, counted) for error in flow_errors) / len(flow_errors),
        "reprojection": masked_mean(_length(there - flow_targets(true_flow)), counted),
        "intrinsics": INTRINSICS_WEIGHT * jnp.mean(jnp.abs(found_intrinsics - intrinsics)) / shape[1],
        "transform": TRANSFORM_WEIGHT * transform_loss / len(transforms),
    }


def _ordered_pairs(clips: Float[Array, "B T ..."]) -> tuple[Array, Array]:
    """Returns frames and neighbours [N,...]: every two neighbouring frames of a clip, in both orders."""

    def flat(part):
        return part.reshape(-1, *part.shape[3:])

    earlier, later = clips[:, :-1], clips[:, 1:]
    return flat(jnp.stack([earlier, later], 1)), flat(jnp.stack([later, earlier], 1))


def _relative_motion(batch: dict[str, Array]) -> Float[Array, "N 4 4"]:
    """Returns neighbour_from_frame of each ordered pair, its translation in the networks' unit."""
    frame, neighbour = _ordered_pairs(batch["cam_from_world"])
    motion = jnp.matmul(neighbour, jnp.linalg.inv(frame), precision=jax.lax.Precision.HIGHEST)
    translation = motion[:, :3, 3].reshape(batch["depth_mm"].shape[0], -1, 3)
    return motion.at[:, :3, 3].set(_in_units(translation, batch["depth_mm"]).reshape(-1, 3))


def _in_units(lengths_mm: Float[Array, "B ..."], depth_mm: Float[Array, "B T H W"]) -> Array:
    """Returns lengths in the unit in which a clip's mean disparity is 1 / `DEPTH_UNIT`.

    That is the level that the depth network learns (`losses.supervised.anchor_disparity`).
    """
    valid = depth_mm > 0
    count = jnp.maximum(valid.sum((1, 2, 3)), 1)
    mean_disparity = jnp.where(valid, 1 / jnp.where(valid, depth_mm, 1.0), 0.0).sum((1, 2, 3)) / count
    return lengths_mm * DEPTH_UNIT * mean_disparity.reshape(-1, *(1,) * (lengths_mm.ndim - 1))


def _inside(pixels: Float[Array, "N H W 2"]) -> Bool[Array, "N H W"]:
    height, width = pixels.shape[1:3]
    x, y = pixels[..., 0], pixels[..., 1]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _length(difference: Float[Array, "N H W 2"]) -> Float[Array, "N H W"]:
    """Length of a vector, differentiable at nothing too."""
    return jnp.sqrt(jnp.sum(difference**2, -1) + 1e-6)
