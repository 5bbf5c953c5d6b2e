"""Code shared by both updates of a training step: the clip, and passes of networks in training mode.

A step makes two updates (AF-SfMLearner; EndoDAV): `flow_objective`, then `depth_objective` with the flow network
updated by the first.  Both are pure functions of nested dicts of parameters and BatchNorm statistics; only the
parameters passed as `trainable` are differentiated.

Notation: N = B·T frames, each with its previous and next neighbour (`BEFORE`, `AFTER`).  The "forward" flow of a pair
(neighbour, frame) points from the frame's pixels to the neighbour's, the "backward" flow the other way.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Shaped

from endodav_jax.data.pyramid import pyramid
from endodav_jax.geometry.resize import Size, resize_align_corners
from endodav_jax.geometry.sampling import sample_bilinear
from endodav_jax.losses.photometric import photometric_error
from endodav_jax.models.layers import map_frames, recomputed
from endodav_jax.training.objective_config import ObjectiveConfig

_HIGHEST = jax.lax.Precision.HIGHEST
BEFORE, AFTER = 0, 1  # which neighbour

# frames, frames_augmented: float32 [B,T+2,H,W,3] in [0, 1], unchanged and as seen by the networks;
# view_mask: bool [B,H,W]; intrinsics: float32 [B,4] in pixels, used only if they are not learned;
# frame_mask: bool [B,T+2,H,W], only if the data have per-frame masks.
Batch = Mapping[str, Array]


class Clip(NamedTuple):
    """A batch as used by the losses.

    Attributes:
      frames, neighbours: [N,H,W,3] and [2,N,H,W,3] float32 in [0, 1]: the images to warp and compare.
      augmented_frames, augmented_neighbours: the same with colour jitter: the input of the networks.
      levels: `frames` at each scale of the objective, [N,h,w,3].
      valid: valid pixels at each scale, [N,h,w] bool: in view and not a highlight; at coarser scales this must hold
        for every pixel that contributes to the colour.
      valid_windows: pixels [N,H,W] whose whole 3x3 window is valid; for terms that compare windows.
      left_out, neighbours_left_out: [N,H,W] and [2,N,H,W] float32, 1 where a pixel or an adjacent one is excluded by
        the frame's own mask; None if the data have no such masks.
    """

    frames: Float[Array, "N H W 3"]
    neighbours: Float[Array, "2 N H W 3"]
    augmented_frames: Float[Array, "N H W 3"]
    augmented_neighbours: Float[Array, "2 N H W 3"]
    levels: tuple[Float[Array, "N h w 3"], ...]
    valid: tuple[Bool[Array, "N h w"], ...]
    valid_windows: Bool[Array, "N H W"]
    left_out: Float[Array, "N H W"] | None = None
    neighbours_left_out: Float[Array, "2 N H W"] | None = None


def clip_of(batch: Batch, config: ObjectiveConfig) -> Clip:
    """Splits a batch into frames and neighbours and marks the valid pixels."""
    frames, neighbours = _with_neighbours(batch["frames"])
    augmented_frames, augmented_neighbours = _with_neighbours(batch["frames_augmented"])
    valid = counted_pixels(batch)
    if config.highlight_threshold is not None:
        valid &= frames.min(-1) < config.highlight_threshold
    left_out = neighbours_left_out = None
    if "frame_mask" in batch:
        counted, neighbours_counted = _with_neighbours(batch["frame_mask"])
        left_out = 1.0 - all_in_windows(counted).astype(frames.dtype)
        neighbours_left_out = 1.0 - jax.vmap(all_in_windows)(neighbours_counted).astype(frames.dtype)
    levels = pyramid(frames, config.scales[-1] + 1)
    return Clip(
        frames,
        neighbours,
        augmented_frames,
        augmented_neighbours,
        tuple(levels[scale] for scale in config.scales),
        tuple(_valid_at(valid, scale) for scale in config.scales),
        all_in_windows(valid),
        left_out,
        neighbours_left_out,
    )


def for_each_frame(batch: Batch, name: str) -> Shaped[Array, "N *rest"]:
    """Returns what a batch holds for each clip, [B,...], for each of the clip's T frames."""
    return jnp.repeat(batch[name], batch["frames"].shape[1] - 2, axis=0)


def counted_pixels(batch: Batch) -> Bool[Array, "N H W"]:
    """Returns which pixels of a clip's frames are in view and, with per-frame masks, not excluded."""
    counted = for_each_frame(batch, "view_mask")
    if "frame_mask" in batch:
        counted &= _with_neighbours(batch["frame_mask"])[0]
    return counted


def level_of_clips(depth: Float[Array, "N H W"], batch: Batch) -> Float[Array, "N"]:
    """Returns, for each frame, the log depth of its clip: its frames' means over the pixels that count, averaged."""
    counted = counted_pixels(batch)
    level = jnp.sum(jnp.where(counted, jnp.log(depth), 0), (1, 2)) / jnp.maximum(counted.sum((1, 2)), 1)
    length = batch["frames"].shape[1] - 2
    return jnp.repeat(level.reshape(-1, length).mean(1), length)


def _with_neighbours(frames: Shaped[Array, "B L *rest"]) -> tuple[Array, Array]:
    def flat(part):
        return part.reshape(-1, *part.shape[2:])

    return flat(frames[:, 1:-1]), jnp.stack([flat(frames[:, :-2]), flat(frames[:, 2:])])


def _valid_at(valid: Bool[Array, "N H W"], scale: int) -> Bool[Array, "N h w"]:
    """Returns which pixels of a scale are computed from valid pixels only.

    Halving with antialias reaches beyond a pixel's own cell, but over all halvings by less than one cell.
    """
    if scale == 0:
        return valid
    size = 2**scale
    count, height, width = valid.shape[0], valid.shape[1] // size, valid.shape[2] // size
    cells = valid[:, : height * size, : width * size].reshape(count, height, size, width, size)
    return all_in_windows(cells.all((2, 4)))


def lands_on_counted(left_out: Float[Array, "N H W"], pixels: Float[Array, "N H W 2"]) -> Bool[Array, "N H W"]:
    """Returns where sampling at `pixels` uses no excluded pixel, for colour, depth or the gradient of either."""
    return sample_bilinear(left_out[..., None], pixels, "border")[..., 0] == 0


def all_in_windows(mask: Bool[Array, "N H W"]) -> Bool[Array, "N H W"]:
    """Returns whether the mask is true in the whole 3x3 window of each pixel."""
    return jax.lax.reduce_window(mask, True, jax.lax.bitwise_and, (1, 3, 3), (1, 1, 1), "SAME")


def to_full_size(maps: list[Float[Array, "*P N _ _ C"]], shape: Size) -> Float[Array, "S *P N H W C"]:
    """Stacks maps of several scales, each resized (align_corners) to the size of the frames."""
    return jnp.stack([resize_align_corners(scale_map, shape) for scale_map in maps])


class TrainingMode(NamedTuple):
    """A network in training mode as a pure function; its passes update the statistics in sequence.

    Attributes:
      run: (params, statistics, first, second) -> (outputs, statistics).
      params, statistics: those of the network before the first pass.
    """

    run: Callable
    params: nnx.State
    statistics: dict


def training_mode(network: nnx.Module) -> TrainingMode:
    """Splits a motion network for frame pairs into a pure function and its state."""
    graphdef, *states = nnx.split(network, nnx.Param, nnx.BatchStat)
    params, statistics = states

    def run(params, statistics, first, second):
        module = nnx.merge(graphdef, params, statistics, copy=True)
        outputs = module(first, second, train=True)
        return outputs, nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

    return TrainingMode(run, params, nnx.to_pure_dict(statistics))


def train_passes(network: nnx.Module, first: Array, second: Array, remat: bool):
    """Runs `network` on each of `first` and `second` [P,N,H,W,3] in turn, with batch statistics per pass as published.

    The running statistics of the network are updated P times.  The passes are a loop, compiled once; with `remat`, its
    outputs and small maps (`layers.kept`) are stored, and one pass at a time is recomputed for the gradient.

    Returns:
      the outputs, stacked along a first axis P.
    """
    mode = training_mode(network)
    run = recomputed(mode.run) if remat else mode.run

    def one_pass(statistics, pair):
        outputs, statistics = run(mode.params, statistics, *pair)
        return statistics, outputs

    statistics, outputs = jax.lax.scan(one_pass, mode.statistics, (first, second))
    nnx.update(network, statistics)
    return outputs


def predict_transforms(
    network: nnx.Module, registration: Float[Array, "2 N H W 3"], clip: Clip, config: ObjectiveConfig
) -> Float[Array, "S 2 N H W 3"]:
    """Returns the transform at each scale, full size, from the network in evaluation mode, without gradients."""
    pairs = registration.reshape(-1, *registration.shape[2:])
    frames = jnp.concatenate([clip.frames, clip.frames])
    maps = map_frames(lambda first, second: network(first, second, train=False), pairs, frames)
    maps = [maps[scale].reshape(2, -1, *maps[scale].shape[1:]) for scale in config.scales]
    return jax.lax.stop_gradient(to_full_size(maps, clip.frames.shape[1:3]))


def photometric_errors(
    a: Float[Array, "N H W 3"], b: Float[Array, "N H W 3"], config: ObjectiveConfig
) -> Float[Array, "N H W"]:
    """`losses.photometric_error`; on a CPU one frame at a time, whose dozen maps fit in the cache."""
    return map_frames(lambda a, b: photometric_error(a, b, config.ssim_weight), a, b, frames=1, remat=True)


def motion_to_neighbours(poses: Float[Array, "B F 4 4"]) -> Float[Array, "2 N 4 4"]:
    """Returns the motion from the camera of each of T frames to those before and after it, of T + 2 poses a clip."""
    inverse = jnp.linalg.inv(poses[:, 1:-1])
    both = [jnp.matmul(neighbour, inverse, precision=_HIGHEST) for neighbour in (poses[:, :-2], poses[:, 2:])]
    return jnp.stack([motion.reshape(-1, 4, 4) for motion in both])


def moved_by(motion: Float[Array, "2 N 4 4"], unit: Float[Array, "N 1"]) -> Float[Array, "2 N 4 4"]:
    """Returns motions whose shifts are `unit` times as long."""
    return motion.at[..., :3, 3].multiply(unit)


def statistics_of(networks: nnx.Module) -> dict:
    """Returns every BatchNorm statistic, as a pure nested dict."""
    return nnx.to_pure_dict(nnx.state(networks, nnx.BatchStat))


def mean_over_scales(losses: dict[str, Array], prefix: str, config: ObjectiveConfig) -> Float[Array, ""]:
    """Returns the mean of `<prefix>loss/<scale>` and records it as `<prefix>loss`."""
    total = sum((losses[f"{prefix}loss/{scale}"] for scale in config.scales), jnp.float32(0))
    losses[f"{prefix}loss"] = total / len(config.scales)
    return losses[f"{prefix}loss"]
