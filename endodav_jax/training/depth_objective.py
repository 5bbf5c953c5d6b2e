"""The second update of a step: depth, camera motion, intrinsics and brightness, by view synthesis."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from endodav_jax.geometry.camera import reproject
from endodav_jax.geometry.flow import flow_targets, warp_by_flow
from endodav_jax.geometry.resize import resize_align_corners
from endodav_jax.geometry.rigid import rigid_from_axis_angle
from endodav_jax.geometry.sampling import sample_bilinear
from endodav_jax.geometry.splat import occlusion_mask
from endodav_jax.losses.brightness import refined_target
from endodav_jax.losses.points import point_errors
from endodav_jax.losses.reduce import masked_mean, masked_mean_of_pairs
from endodav_jax.losses.smoothness import edge_aware_differences, mean_normalised, pair_masks
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.layers import map_frames
from endodav_jax.training.health import health_of
from endodav_jax.training.objective import (
    AFTER,
    BEFORE,
    Batch,
    Clip,
    clip_of,
    for_each_frame,
    lands_on_counted,
    mean_over_scales,
    predict_transforms,
    statistics_of,
    to_full_size,
    train_passes,
)
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.view_synthesis import (
    BRIGHTNESS,
    FLOW_DEPTH,
    PROJECTION,
    REPROJECTION,
    TRANSFORM,
    ScaleMaps,
    Scene,
    view_synthesis,
)

# The parts of a scale's loss besides `view_synthesis.PAIR_PARTS`, with their names in logs and golden files.
SMOOTHNESS = "loss_smooth"
POINTS = "loss_points"

# (networks, clip, batch, depth [N,H,W], config) -> motion from each frame's camera to its neighbours' [2,N,4,4], and
# the intrinsics [N,4] in pixels.
Camera = Callable[[Any, Clip, Batch, Array, ObjectiveConfig], tuple[Float[Array, "2 N 4 4"], Float[Array, "N 4"]]]


class Pictures(NamedTuple):
    """Maps for visualisation, at full size; not computed unless they are used.

    Attributes:
      frame: [N,H,W,3].
      warped: neighbours warped by depth and motion, [2,N,H,W,3].
      refined: the target they are compared with, [2,N,H,W,3].
      occlusion: 1 where the pixel is also visible in the neighbour, [2,N,H,W].
      disparity, depth: [N,H,W].
      flow: (y, x) to the neighbours, [2,N,H,W,2].
    """

    frame: Float[Array, "N H W 3"]
    warped: Float[Array, "2 N H W 3"]
    refined: Float[Array, "2 N H W 3"]
    occlusion: Float[Array, "2 N H W"]
    disparity: Float[Array, "N H W"]
    depth: Float[Array, "N H W"]
    flow: Float[Array, "2 N H W 2"]


class DepthAux(NamedTuple):
    """The results of the depth update besides its loss.

    Attributes:
      losses: `loss/<part>/<scale>`, their sums `loss/<scale>` and `loss`, all weighted.
      statistics: all BatchNorm statistics, with those of the pose and transform networks updated.
      neighbour_from_frame: predicted camera motion, [2,N,4,4].
      intrinsics: (fx, fy, cx, cy) in pixels, [N,4].
      pictures: see `Pictures`.
      health: of the depth, by the names of `health.MEASURED`.
    """

    losses: dict[str, Float[Array, ""]]
    statistics: dict
    neighbour_from_frame: Float[Array, "2 N 4 4"]
    intrinsics: Float[Array, "N 4"]
    pictures: Pictures
    health: dict[str, Float[Array, ""]]


@runtime_checkable
class CameraNetworks(Protocol):
    """The networks used by `learned_camera`."""

    @property
    def pose(self) -> Any: ...

    @property
    def intrinsics(self) -> Any: ...


def learned_camera(
    networks: CameraNetworks, clip: Clip, batch: Batch, depth: Float[Array, "N H W"], config: ObjectiveConfig
) -> tuple[Float[Array, "2 N 4 4"], Float[Array, "N 4"]]:
    """The camera predicted by the pose network, independent of depth; see `Camera`."""
    del depth
    frames = jnp.broadcast_to(clip.augmented_frames, clip.augmented_neighbours.shape)
    motion = train_passes(networks.pose, clip.augmented_neighbours, frames, config.remat)
    if config.learn_intrinsics:
        # The intrinsics of the pair with the next frame are used for both, as in the published program.
        intrinsics = networks.intrinsics(motion.features[AFTER], *clip.frames.shape[1:3])
    else:
        intrinsics = for_each_frame(batch, "intrinsics")
    return rigid_from_axis_angle(motion.axis_angle, motion.translation), intrinsics


def depth_objective(
    trainable: dict,
    frozen: dict,
    statistics: dict,
    batch: Batch,
    *,
    graphdef: nnx.GraphDef,
    config: ObjectiveConfig,
    projection: bool,
    axis_name: str | None = None,
    camera: Camera = learned_camera,
) -> tuple[Float[Array, ""], DepthAux]:
    """Pose and transform networks in training mode, the (just updated) flow network in evaluation mode.

    Args:
      trainable: the parameters to differentiate (those trained in this phase), nested as in `TrainingNetworks`.
      frozen: all other parameters; their gradients are never computed.
      statistics: BatchNorm statistics of all networks.
      batch: see `objective.Batch`.
      graphdef: of `TrainingNetworks`.
      config: loss weights.
      projection: whether the phase uses the projection loss and its variant along the flow.
      axis_name: mapped axis of the devices that share the batch; see `losses.reduce.masked_mean`.
      camera: source of the camera motion and intrinsics.
    """
    networks = nnx.merge(graphdef, trainable, frozen, statistics, copy=True)
    clip = clip_of(batch, config)
    shape = clip.frames.shape[1:3]
    length = batch["frames"].shape[1] - 2

    forward_flows, backward_flow = shared_flows(networks.flow, batch["frames_augmented"])
    flow = to_full_size([forward_flows[scale] for scale in config.scales], shape)
    registration = jax.vmap(lambda image, flow: warp_by_flow(image, flow, "border"))(clip.neighbours, flow[0])
    if config.learn_registration:
        frames = jnp.broadcast_to(clip.frames, registration.shape)
        transforms = train_passes(networks.transform, registration, frames, config.remat)
        transforms = to_full_size([transforms[scale] for scale in config.scales], shape)
    else:
        transforms = predict_transforms(networks.transform, registration, clip, config)
    disparities = networks.depth(batch["frames_augmented"][:, 1:-1], batch["view_mask"])
    disparities = [disparities[scale].reshape(-1, *disparities[scale].shape[2:], 1) for scale in config.scales]
    maps = ScaleMaps(
        to_full_size(disparities, shape)[..., 0],
        flow,
        transforms,
    )
    depth = networks.depth.config.depth(maps.disparity[0])
    neighbour_from_frame, intrinsics = camera(networks, clip, batch, depth, config)
    registered = None
    if clip.neighbours_left_out is not None:
        registered = jax.vmap(lands_on_counted)(clip.neighbours_left_out, flow_targets(flow[0]))
    occlusion = jax.vmap(occlusion_mask)(backward_flow)
    scene = Scene(neighbour_from_frame, intrinsics, occlusion, registration, registered)

    pairs = length > 1 and projection  # pairs in which the depth of both frames is known; a single frame has none
    weights = {
        REPROJECTION: config.photometric_weight,
        TRANSFORM: config.transform_weight,
        BRIGHTNESS: config.brightness_smoothness,
        PROJECTION: config.projection_weight if pairs else 0.0,
        FLOW_DEPTH: config.flow_depth_weight if pairs else 0.0,
    }
    wanted = frozenset(name for name, weight in weights.items() if weight)
    parts = view_synthesis(clip, scene, maps, length, wanted, config, networks.depth.config, axis_name)

    losses: dict[str, Array] = {}
    for i, scale in enumerate(config.scales):
        part = {name: weight * parts[name][i] for name, weight in weights.items()}
        part[SMOOTHNESS] = config.disparity_smoothness / 2**scale * _smoothness(disparities[i], clip, i, axis_name)
        if scale == 0 and config.points_weight:
            points = batch["path_points"][:, 1:-1].reshape(-1, *batch["path_points"].shape[2:])
            error = masked_mean(*point_errors(depth, points, length), axis_name)
            part[POINTS] = config.points_weight * error
        losses |= {f"loss/{name}/{scale}": value for name, value in part.items()}
        losses[f"loss/{scale}"] = sum(part.values(), jnp.float32(0))
    loss = mean_over_scales(losses, "", config)
    pictures = jax.lax.stop_gradient(_pictures(clip, scene, jax.tree.map(lambda a: a[0], maps), networks.depth.config))
    in_view = for_each_frame(batch, "view_mask")
    health = health_of(pictures.disparity, pictures.depth, neighbour_from_frame, in_view)
    return loss, DepthAux(losses, statistics_of(networks), neighbour_from_frame, intrinsics, pictures, health)


def shared_flows(network: nnx.Module, frames: Float[Array, "B L H W 3"]):
    """Flow between all neighbouring frames of clips, with each ordered pair computed once.

    The forward flow of a frame to the previous one is the backward flow of that one from the next: with T frames
    and their neighbours there are 2(T+1) ordered pairs, whereas running four passes for each frame would take 4T.
    In evaluation mode, the flow of a pair does not depend on the rest of the batch.

    Returns:
      forward flows at all scales [2,N,h,w,2], and the backward flow at full size [2,N,H,W,2].
    """
    batch, pairs = frames.shape[0], frames.shape[1] - 1
    earlier, later = (part.reshape(-1, *part.shape[2:]) for part in (frames[:, :-1], frames[:, 1:]))
    first, second = jnp.concatenate([earlier, later]), jnp.concatenate([later, earlier])
    flows = map_frames(lambda a, b: network(a, b, train=False), first, second)

    def by_frame(flow):
        # Pair j joins frames j and j+1.  (earlier, later) is frame j+1's to the one before and frame j's from the
        # one after; (later, earlier) is frame j's to the one after and frame j+1's from the one before.
        to_before, to_after = jax.lax.stop_gradient(flow).reshape(2, batch, pairs, *flow.shape[1:])

        def flat(part):
            return part.reshape(-1, *part.shape[2:])

        forward = jnp.stack([flat(to_before[:, :-1]), flat(to_after[:, 1:])])
        return forward, jnp.stack([flat(to_after[:, :-1]), flat(to_before[:, 1:])])

    return [by_frame(flow)[0] for flow in flows], by_frame(flows[0])[1]


def _smoothness(disparity: Float[Array, "N h w 1"], clip: Clip, index: int, axis_name: str | None) -> Float[Array, ""]:
    """Returns the edge-aware smoothness of the mean-normalised disparity, at the size of the frame at this scale."""
    level, valid = clip.levels[index], clip.valid[index]
    resized = resize_align_corners(disparity, level.shape[1:3])[..., 0]
    pairs = edge_aware_differences(mean_normalised(resized, valid)[..., None], level)
    return masked_mean_of_pairs(*pairs, pair_masks(valid), axis_name)


def _pictures(clip: Clip, scene: Scene, maps: ScaleMaps, model: DepthModelConfig) -> Pictures:
    depth = model.depth(maps.disparity)
    warped, refined = [], []
    for direction in (BEFORE, AFTER):
        pixels, _ = reproject(depth, scene.intrinsics, scene.neighbour_from_frame[direction])
        warped.append(sample_bilinear(clip.neighbours[direction], pixels, "border"))
        refined.append(refined_target(clip.frames, maps.transform[direction], scene.occlusion[direction]))
    return Pictures(
        clip.frames, jnp.stack(warped), jnp.stack(refined), scene.occlusion, maps.disparity, depth, maps.flow
    )
