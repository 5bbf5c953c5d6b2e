"""Steps for supervised training of the motion networks, with known depth and camera motion.

The networks learn what self-supervised training requires: first the flow between neighbouring frames and the change of
brightness between a frame and its registered neighbour, then camera motion and intrinsics.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

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

DEPTH_UNIT = 0.1  # depth for a disparity of 1, so that networks agree on the scale when fine-tuning starts
INTRINSICS_WEIGHT = 5.0  # of a deviation in units of the frame width, relative to errors in pixels
TRANSFORM_WEIGHT = 10.0
LAST_LAYER_FACTOR = 30.0  # initial scaling of the pose decoder's last layer
TRANSFORM_SMOOTHNESS = 0.1


class FlowNetworks(nnx.Module):
    """The networks that register two frames, with the names of `TrainingNetworks`."""

    def __init__(self, rngs: nnx.Rngs, layers: int):
        numerics = Numerics.of("float32")
        self.flow = FlowNet(rngs, layers=layers, numerics=numerics)
        self.transform = TransformNet(rngs, layers=layers, numerics=numerics)


class CameraNetworks(nnx.Module):
    """The networks that predict the camera, with the names of `TrainingNetworks`."""

    def __init__(self, rngs: nnx.Rngs, layers: int):
        self.pose = PoseNet(rngs, layers=layers, numerics=Numerics.of("float32"))
        self.intrinsics = IntrinsicsHead(rngs, layers=layers)


Losses = Callable[[Any, dict[str, Array]], dict[str, Float[Array, ""]]]


@functools.partial(jax.jit, static_argnames=("graphdef", "losses", "optimiser"), donate_argnames="state")
def motion_step(
    state: State,
    batch: dict[str, Array],
    learning_rate: Array,
    *,
    graphdef: nnx.GraphDef,
    losses: Losses,
    optimiser: optax.GradientTransformation,
) -> tuple[State, dict[str, Array]]:
    """Trains networks on the neighbouring frames of a batch of clips, in both orders.

    Args:
      state: parameters, BatchNorm statistics and optimiser state.
      batch: frames uint8 [B,T,H,W,3], depth_mm float32 [B,T,H,W], cam_from_world float32 [B,T,4,4] (mm), intrinsics
        float32 [B,4], jitter float32 [B,4], jitter_order int32 [B,4].
      learning_rate: of this step.
      graphdef: of the networks.
      losses: `flow_losses` or `camera_losses`.
      optimiser: for the parameters, at a learning rate of 1.

    Returns:
      The new state, and the losses.
    """

    def objective(params):
        networks = nnx.merge(graphdef, params, state["statistics"], copy=True)
        found = losses(networks, batch)
        return sum(found.values()), (found, nnx.to_pure_dict(nnx.state(networks, nnx.BatchStat)))

    (loss, (found, statistics)), grads = jax.value_and_grad(objective, has_aux=True)(state["params"])
    updates, opt = optimiser.update(grads, state["opt"], state["params"])
    params = optax.apply_updates(state["params"], jax.tree.map(lambda update: learning_rate * update, updates))
    return {"params": params, "statistics": statistics, "opt": opt}, found | {"loss": loss}


def flow_losses(networks: FlowNetworks, batch: dict[str, Array]) -> dict[str, Float[Array, ""]]:
    """Returns the errors of flow (in pixels) and transform, in training mode."""
    pairs = _pairs(batch)
    shape = pairs.frame.shape[1:3]
    registration = warp_by_flow(pairs.neighbour, pairs.flow, "border")
    flows = networks.flow(pairs.seen_neighbour, pairs.seen_frame, train=True)
    flow_errors = [_length(resize_align_corners(flow, shape) - pairs.flow) for flow in flows]

    transforms = networks.transform(registration, pairs.frame, train=True)
    masks = pair_masks(pairs.counted)
    transform_loss = jnp.float32(0)
    for transform in transforms:
        transform = resize_align_corners(transform, shape)
        transform_loss += masked_mean(jnp.abs(pairs.frame + transform - registration).mean(-1), pairs.counted)
        differences = edge_aware_differences(transform, pairs.frame - registration)
        transform_loss += TRANSFORM_SMOOTHNESS * masked_mean_of_pairs(*differences, masks)
    return {
        "flow": sum(masked_mean(error, pairs.counted) for error in flow_errors) / len(flow_errors),
        "transform": TRANSFORM_WEIGHT * transform_loss / len(transforms),
    }


def camera_losses(networks: CameraNetworks, batch: dict[str, Array]) -> dict[str, Float[Array, ""]]:
    """Returns the errors of motion (pixels between predicted and true positions of points) and of intrinsics."""
    pairs = _pairs(batch)
    shape = pairs.frame.shape[1:3]
    predicted = networks.pose(pairs.seen_neighbour, pairs.seen_frame, train=True)
    motion = rigid_from_axis_angle(predicted.axis_angle, predicted.translation)
    there, _ = reproject(pairs.depth, pairs.intrinsics, motion)
    found = networks.intrinsics(predicted.features, *shape)
    return {
        "reprojection": masked_mean(_length(there - flow_targets(pairs.flow)), pairs.counted),
        "intrinsics": INTRINSICS_WEIGHT * jnp.mean(jnp.abs(found - pairs.intrinsics)) / shape[1],
    }


def camera_from_flow(state: State, flow_state: State) -> State:
    """Initialises the pose network so that it can learn: with the flow encoder, and a scaled last layer.

    With a random encoder and a last layer of the usual size behind `MOTION_SCALE`, it predicted no motion for
    1,500 steps; initialised like this, it explains half of the motion after 300.
    """
    params, statistics = dict(state["params"]), dict(state["statistics"])
    decoder = params["pose"]["decoder"]
    last = {name: leaf * LAST_LAYER_FACTOR for name, leaf in decoder["conv2"].items()}
    params["pose"] = {"encoder": flow_state["params"]["flow"]["encoder"], "decoder": decoder | {"conv2": last}}
    statistics["pose"] = statistics["pose"] | {"encoder": flow_state["statistics"]["flow"]["encoder"]}
    return state | {"params": jax.tree.map(jnp.copy, params), "statistics": jax.tree.map(jnp.copy, statistics)}


class _Pairs(NamedTuple):
    """All pairs of neighbouring frames, in both orders, with the known quantities; `seen` is colour-jittered."""

    frame: Float[Array, "N H W 3"]
    neighbour: Float[Array, "N H W 3"]
    seen_frame: Float[Array, "N H W 3"]
    seen_neighbour: Float[Array, "N H W 3"]
    depth: Float[Array, "N H W"]
    intrinsics: Float[Array, "N 4"]
    flow: Float[Array, "N H W 2"]
    counted: Bool[Array, "N H W"]


def _pairs(batch: dict[str, Array]) -> _Pairs:
    plain = to_float(batch["frames"])
    seen = colour_jitter(plain, batch["jitter"], batch["jitter_order"])
    frame, neighbour = _ordered_pairs(plain)
    depth, _ = _ordered_pairs(_in_units(batch["depth_mm"], batch["depth_mm"]))
    intrinsics = jnp.repeat(batch["intrinsics"], frame.shape[0] // batch["frames"].shape[0], axis=0)
    flow = rigid_flow(depth, intrinsics, _relative_motion(batch))
    counted = (depth > 0) & _inside(flow_targets(flow))
    return _Pairs(frame, neighbour, *_ordered_pairs(seen), depth, intrinsics, flow, counted)


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
    """Returns lengths in the unit in which the mean disparity of a clip is 1 / `DEPTH_UNIT`.

    This is the level learned by the depth network (`losses.supervised.anchor_disparity`).
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
    """Length of a vector, differentiable also at zero."""
    return jnp.sqrt(jnp.sum(difference**2, -1) + 1e-6)
