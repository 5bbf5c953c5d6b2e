"""The first update of a step: optical flow between neighbouring frames, by photometric registration."""

import functools
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from endodav_jax.geometry.flow import flow_targets, warp_by_flow
from endodav_jax.geometry.splat import occlusion_mask
from endodav_jax.losses.brightness import refined_target
from endodav_jax.losses.ncc import local_ncc
from endodav_jax.losses.reduce import masked_mean, masked_mean_of_pairs
from endodav_jax.losses.smoothness import edge_aware_differences, pair_masks
from endodav_jax.models.layers import recomputed
from endodav_jax.training.objective import (
    Batch,
    Clip,
    all_in_windows,
    clip_of,
    lands_on_counted,
    mean_over_scales,
    photometric_errors,
    predict_transforms,
    statistics_of,
    to_full_size,
    training_mode,
)
from endodav_jax.training.objective_config import ObjectiveConfig

PREFIX = "flow_phase/"


class FlowAux(NamedTuple):
    """The results of the flow update besides its loss.

    Attributes:
      losses: `flow_phase/loss/<scale>` and `flow_phase/loss`, weighted.
      statistics: all BatchNorm statistics, with those of the flow network updated.
    """

    losses: dict[str, Float[Array, ""]]
    statistics: dict


def flow_objective(
    trainable: dict,
    frozen: dict,
    statistics: dict,
    batch: Batch,
    *,
    graphdef: nnx.GraphDef,
    config: ObjectiveConfig,
    axis_name: str | None = None,
) -> tuple[Float[Array, ""], FlowAux]:
    """The flow loss, with the flow network in training mode and the transform network unchanged.

    Per scale, averaged over both neighbours: masked mean of the photometric error between the neighbour registered by
    its flow and the frame adjusted to the neighbour's brightness (not differentiated), plus edge-aware smoothness.

    Args:
      trainable: parameters of the flow network (to be differentiated), nested as in `TrainingNetworks`.
      frozen: all other parameters.
      statistics: BatchNorm statistics of all networks.
      batch: see `objective.Batch`.
      graphdef: of `TrainingNetworks`.
      config: loss weights.
      axis_name: mapped axis of the devices that share the batch; see `losses.reduce.masked_mean`.
    """
    networks = nnx.merge(graphdef, trainable, frozen, statistics, copy=True)
    clip = clip_of(batch, config)
    flows, backward_flow = flow_passes(networks.flow, clip, config)
    full_flows = to_full_size([flows[scale] for scale in config.scales], clip.frames.shape[1:3])
    occlusion = jax.vmap(occlusion_mask)(backward_flow)

    registration = jax.vmap(lambda image, flow: warp_by_flow(image, flow, "border"))(clip.neighbours, full_flows[0])
    transforms = predict_transforms(networks.transform, jax.lax.stop_gradient(registration), clip, config)

    pairs = clip.neighbours, occlusion, clip.neighbours_left_out

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def one_side(total, pair):
        neighbour, occlusion, left_out, flow, transform = pair
        refined = refined_target(clip.frames, transform, occlusion)
        error = photometric_errors(warp_by_flow(neighbour, flow, "border"), refined, config)
        counted = clip.valid_windows
        if left_out is not None:
            counted &= all_in_windows(lands_on_counted(left_out, flow_targets(flow)))
        return total + masked_mean(error, occlusion * counted, axis_name) / 2, None

    def one_scale(_, scale_maps):
        return None, jax.lax.scan(one_side, jnp.zeros(()), (*pairs, *scale_maps))[0]

    _, registration_losses = jax.lax.scan(one_scale, None, (full_flows, transforms))

    losses = {}
    for i, scale in enumerate(config.scales):
        masks = pair_masks(clip.valid[i])
        smoothness = sum(
            masked_mean_of_pairs(*edge_aware_differences(flow, clip.levels[i]), masks, axis_name)
            for flow in flows[scale]
        )
        weight = config.flow_smoothness / 2**scale
        losses[f"{PREFIX}loss/{scale}"] = registration_losses[i] + weight * smoothness / 2
    return mean_over_scales(losses, PREFIX, config), FlowAux(losses, statistics_of(networks))


@runtime_checkable
class RegisteringNetworks(Protocol):
    """The network used by `registration_score`, among others."""

    @property
    def flow(self) -> Any: ...


def registration_score(networks: RegisteringNetworks, batch: Batch, config: ObjectiveConfig) -> Float[Array, ""]:
    """The published validation score of a batch, 0 to 1: local correlation of frames and registered neighbours.

    Uses the better neighbour of each pixel, averaged over pixels and scales; networks in evaluation mode.
    """
    clip = clip_of(batch, config)
    maps = jax.vmap(lambda neighbour: networks.flow(neighbour, clip.augmented_frames, train=False))(
        clip.augmented_neighbours
    )
    grey = clip.frames.mean(-1)
    scores = []
    for flow in to_full_size([maps[scale] for scale in config.scales], clip.frames.shape[1:3]):
        registered = [warp_by_flow(*pair, "border").mean(-1) for pair in zip(clip.neighbours, flow, strict=True)]
        best = jnp.maximum(*(local_ncc(image, grey) for image in registered))
        scores.append(masked_mean(best, clip.valid[0]))
    return sum(scores, jnp.float32(0)) / len(scores)


def flow_passes(network: nnx.Module, clip: Clip, config: ObjectiveConfig):
    """Runs the four passes in the published order: for each neighbour forward, then backward.

    The backward flow is used only for the occlusion mask and is not differentiated.  In training mode, every pass uses
    the statistics of its own pairs, so no pass can replace another.

    Returns:
      forward flows at all scales [2,N,h,w,2], and the backward flow at full size [2,N,H,W,2].
    """
    mode = training_mode(network)
    forward = recomputed(mode.run) if config.remat else mode.run
    fixed = jax.lax.stop_gradient(mode.params)

    def one_neighbour(statistics, neighbour):
        flows, statistics = forward(mode.params, statistics, neighbour, clip.augmented_frames)
        backward_flows, statistics = mode.run(fixed, statistics, clip.augmented_frames, neighbour)
        return statistics, (flows, backward_flows[0])

    statistics, flows = jax.lax.scan(one_neighbour, mode.statistics, clip.augmented_neighbours)
    nnx.update(network, statistics)
    return flows
