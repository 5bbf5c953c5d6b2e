"""The terms of the depth update that compare frames with their neighbours, at one scale after the other."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from endodav_jax.geometry.camera import reproject
from endodav_jax.geometry.flow import flow_targets, warp_by_flow
from endodav_jax.geometry.sampling import sample_bilinear
from endodav_jax.losses.brightness import brightness_smoothness, leading_pairs, refined_target
from endodav_jax.losses.projection import flow_depth_error, projection_error, relief
from endodav_jax.losses.reduce import masked_mean, masked_mean_of_pairs
from endodav_jax.losses.smoothness import pair_masks
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.training.objective import Clip, all_in_windows, lands_on_counted, photometric_errors
from endodav_jax.training.objective_config import ObjectiveConfig

# The parts of a scale's loss that involve neighbours, with their names in logs and golden files.
REPROJECTION = "loss_reprojection"
TRANSFORM = "loss_transform"
BRIGHTNESS = "loss_cvt"
PROJECTION = "loss_depth_reproj"
FLOW_DEPTH = "loss_depth_flow"
PAIR_PARTS = (REPROJECTION, TRANSFORM, BRIGHTNESS, PROJECTION, FLOW_DEPTH)


class Scene(NamedTuple):
    """The networks' predictions for a clip that do not depend on the scale."""

    neighbour_from_frame: Float[Array, "2 N 4 4"]
    intrinsics: Float[Array, "N 4"]
    occlusion: Float[Array, "2 N H W"]
    registration: Float[Array, "2 N H W 3"]
    registered: Bool[Array, "2 N H W"] | None  # true where registration uses no excluded pixel; None without masks


class ScaleMaps(NamedTuple):
    """The predictions at one scale, resized to full size (or at all scales, with a first axis S)."""

    disparity: Float[Array, "*S N H W"]
    flow: Float[Array, "*S 2 N H W 2"]
    transform: Float[Array, "*S 2 N H W 3"]


class _Pair(NamedTuple):
    """The inputs for comparing frames [N] with their neighbours on one side, at one scale, at full size."""

    neighbour: Float[Array, "N H W 3"]
    neighbour_from_frame: Float[Array, "N 4 4"]
    occlusion: Float[Array, "N H W"]
    registration: Float[Array, "N H W 3"]
    flow: Float[Array, "N H W 2"]
    transform: Float[Array, "N H W 3"]
    neighbour_depth: Float[Array, "N H W"]
    same_clip: Bool[Array, "N"]
    left_out: Float[Array, "N H W"] | None  # of the neighbour; None without masks, as is the next
    registered: Bool[Array, "N H W"] | None


def view_synthesis(
    clip: Clip,
    scene: Scene,
    maps: ScaleMaps,
    length: int,
    wanted: frozenset[str],
    config: ObjectiveConfig,
    model: DepthModelConfig,
    axis_name: str | None,
) -> dict[str, Float[Array, "S"]]:
    """Returns the terms that compare frames with neighbours, unweighted, by scale; disabled terms are 0.

    Scales and sides are loops, compiled once, and the maps of a side are recomputed for the gradient: only the
    arguments are stored at full size.
    """

    def one_scale(_, scale_maps: ScaleMaps):
        depth = model.depth(scale_maps.disparity)
        neighbour_depth, same_clip = _depth_of_neighbours(depth, length)

        @functools.partial(jax.checkpoint, prevent_cse=False)
        def one_side(total, pair: _Pair):
            terms = _terms(clip, depth, scene.intrinsics, pair, wanted, config, axis_name)
            return {name: total[name] + terms[name] / 2 for name in total}, None

        pairs = _Pair(
            clip.neighbours, scene.neighbour_from_frame, scene.occlusion, scene.registration,
            scale_maps.flow, scale_maps.transform, neighbour_depth, same_clip,
            clip.neighbours_left_out, scene.registered,
        )  # fmt: skip
        nothing = dict.fromkeys(PAIR_PARTS, jnp.zeros((), depth.dtype))
        return None, jax.lax.scan(one_side, nothing, pairs)[0]

    return jax.lax.scan(one_scale, None, maps)[1]


def _terms(
    clip: Clip,
    depth: Float[Array, "N H W"],
    intrinsics: Float[Array, "N 4"],
    pair: _Pair,
    wanted: frozenset[str],
    config: ObjectiveConfig,
    axis_name: str | None,
) -> dict[str, Float[Array, ""]]:
    """Returns the terms of one scale and one side, each a masked mean."""
    mean = functools.partial(masked_mean, axis_name=axis_name)
    terms = dict.fromkeys(PAIR_PARTS, jnp.zeros((), depth.dtype))
    valid = clip.valid[0]

    pixels, depth_there = reproject(depth, intrinsics, pair.neighbour_from_frame)
    warped = sample_bilinear(pair.neighbour, pixels, "border")
    refined = refined_target(clip.frames, pair.transform, pair.occlusion)
    error = photometric_errors(warped, refined, config)
    landed = _Landed.of(clip, pair, pixels)
    terms[REPROJECTION] = mean(error, pair.occlusion * (clip.valid_windows & landed.windows))

    if TRANSFORM in wanted:
        counted = valid & landed.registered
        terms[TRANSFORM] = mean(jnp.abs(refined - pair.registration).mean(-1), pair.occlusion * counted)
    if BRIGHTNESS in wanted:
        registration = warp_by_flow(pair.neighbour, pair.flow, "border")
        maps = brightness_smoothness(pair.transform, clip.frames, registration)
        seen, both = leading_pairs(pair.occlusion), pair_masks(valid & landed.by_flow)
        terms[BRIGHTNESS] = masked_mean_of_pairs(*maps, (seen[0] * both[0], seen[1] * both[1]), axis_name)

    in_clip = valid & pair.same_clip[:, None, None]
    if PROJECTION in wanted:
        error, inside = projection_error(pixels, depth_there, pair.neighbour_depth, config.projection_relative)
        terms[PROJECTION] = mean(error, inside & in_clip & landed.by_motion)
        if config.projection_relative:
            terms[PROJECTION] /= _mean_over_devices(relief(depth, valid), axis_name)
    if FLOW_DEPTH in wanted:
        error, inside = flow_depth_error(pair.flow, depth, pair.neighbour_depth)
        terms[FLOW_DEPTH] = mean(error, inside & in_clip & landed.flow_depth)
    return terms


def _mean_over_devices(values: Float[Array, "N"], axis_name: str | None) -> Float[Array, ""]:
    mean = values.mean()
    return mean if axis_name is None else jax.lax.pmean(mean, axis_name)


class _Landed(NamedTuple):
    """Where the terms of a pair use no pixel excluded by per-frame masks; True without masks.

    Attributes:
      by_motion: in the neighbour, at the position given by depth and motion.
      windows: the same for the whole 3x3 window around each pixel.
      registered: in the neighbour, at the position given by the finest flow.
      by_flow: in the neighbour, at the position given by the flow at this scale.
      flow_depth: in the frame at the position given by the flow at this scale, and in the neighbour at the same pixel.
    """

    by_motion: Bool[Array, "N H W"] | bool = True
    windows: Bool[Array, "N H W"] | bool = True
    registered: Bool[Array, "N H W"] | bool = True
    by_flow: Bool[Array, "N H W"] | bool = True
    flow_depth: Bool[Array, "N H W"] | bool = True

    @classmethod
    def of(cls, clip: Clip, pair: _Pair, pixels: Float[Array, "N H W 2"]) -> "_Landed":
        """Samples the masks at exactly the positions where colours and depths are sampled."""
        if pair.left_out is None or pair.registered is None or clip.left_out is None:  # all or none of them
            return cls()
        by_motion = lands_on_counted(pair.left_out, pixels)
        flow = flow_targets(pair.flow)
        return cls(
            by_motion,
            all_in_windows(by_motion),
            pair.registered,
            lands_on_counted(pair.left_out, flow),
            lands_on_counted(clip.left_out, flow) & (pair.left_out == 0),
        )


def _depth_of_neighbours(
    depth: Float[Array, "N H W"], length: int
) -> tuple[Float[Array, "2 N H W"], Bool[Array, "2 N"]]:
    """Returns the depth of each frame's neighbours, and whether they are in the same clip (else it is of another)."""
    number = jnp.arange(depth.shape[0]) % length
    neighbours = jnp.stack([jnp.roll(depth, 1, axis=0), jnp.roll(depth, -1, axis=0)])
    return neighbours, jnp.stack([number > 0, number < length - 1])
