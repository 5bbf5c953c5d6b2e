"""One step of supervised training, for both depth stages."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array

from endodav_jax.data.augment import colour_jitter, to_float
from endodav_jax.geometry.resize import resize_nearest
from endodav_jax.losses import supervised
from endodav_jax.losses.reduce import masked_mean
from endodav_jax.pretraining.config import PretrainConfig
from endodav_jax.pretraining.other_cameras import through_other_cameras

# Keys of a batch.
DRAWN = ("frames", "depth_mm", "jitter", "jitter_order", "camera_seed", "camera_strength")
_LEAST_DISPARITY = 1e-2  # of which the logarithm is taken

State = dict[str, Any]  # params, ema: dicts of pure nested dicts; opt


@functools.partial(jax.jit, static_argnames=("graphdef", "optimiser", "config"), donate_argnames="state")
def pretrain_step(
    state: State,
    frozen: dict,
    batch: dict[str, Array],
    learning_rate: Array,
    *,
    graphdef: nnx.GraphDef,
    optimiser: optax.GradientTransformation,
    config: PretrainConfig,
) -> tuple[State, dict[str, Array]]:
    """Trains `state["params"]` on a batch of clips, with the rest of the network `frozen`.

    Args:
      state: `params` and `ema` (pure nested dicts of the trained weights), `opt`.
      frozen: pure nested dict of all other weights.
      batch: frames uint8 [B,T,H,W,3], depth_mm float32 [B,T,H,W], jitter float32 [B,4], jitter_order int32 [B,4],
        camera_seed int32 [B], camera_strength float32 [B].
      learning_rate: of this step; an argument, so that another schedule is not another program.
      graphdef: of the depth network.
      optimiser: for `params`, at a learning rate of 1.
      config: the loss weights and the averaging.

    Returns:
      The new state, and the losses with the finest disparity [B,T,h,w].
    """
    frames = colour_jitter(to_float(batch["frames"]), batch["jitter"], batch["jitter_order"])
    depth_mm = batch["depth_mm"]
    if config.changes_cameras:
        cameras = batch["camera_seed"], batch["camera_strength"]
        frames, depth_mm = through_other_cameras(frames, depth_mm, *cameras)

    def objective(params):
        network = nnx.merge(graphdef, params, frozen)
        if frames.shape[1] == 1:
            disparity = network.single_frames(frames[:, 0], config.coarse_output)[:, None]
        else:
            disparity = network.disparity(frames)
        depth = resize_nearest(depth_mm, disparity.shape[-2:], "align_corners")
        losses = clip_losses(disparity, depth, config)
        return losses["loss"], losses | {"disparity": disparity}

    grads, aux = jax.grad(objective, has_aux=True)(state["params"])
    updates, opt = optimiser.update(grads, state["opt"], state["params"])
    params = optax.apply_updates(state["params"], jax.tree.map(lambda update: learning_rate * update, updates))
    ema = jax.tree.map(lambda old, new: old + (1.0 - config.ema_decay) * (new - old), state["ema"], params)
    return {"params": params, "ema": ema, "opt": opt}, aux | {"gradient_norm": optax.tree.norm(grads)}


def clip_losses(disparity: Array, depth_mm: Array, config: PretrainConfig) -> dict[str, Array]:
    """Returns the weighted losses of predicted disparity [B,T,h,w] against depth in mm (0 invalid), their sum `loss`,
    and `zero_share`, the fraction of valid pixels whose disparity is 0."""
    valid = depth_mm > 0
    target = supervised.normalised_disparity(depth_mm, valid)
    aligned = supervised.align_clips(disparity, target, valid)
    losses = {
        "affine_invariant": supervised.absolute_error(aligned, target, valid),
        "gradient": config.gradient_weight * supervised.gradient_matching(aligned - target, valid),
    }
    if config.anchor_weight:
        anchor = supervised.absolute_error(disparity, supervised.anchor_disparity(depth_mm, valid), valid)
        losses["anchor"] = config.anchor_weight * anchor
    if config.log_weight:
        losses["log_depth"] = config.log_weight * supervised.log_error(disparity, depth_mm, valid, _LEAST_DISPARITY)
    if disparity.shape[1] > 1:
        temporal = supervised.temporal_gradient_matching(aligned, target, valid)
        losses["temporal_gradient"] = config.temporal_weight * temporal
    if config.below_zero_weight:
        spread = jax.lax.stop_gradient(masked_mean(jnp.abs(disparity - masked_mean(disparity, valid)), valid))
        below = masked_mean(jax.nn.relu(-disparity), valid) / jnp.maximum(spread, 1e-6)
        losses["below_zero"] = config.below_zero_weight * below
    # A ReLU that is dead everywhere stops learning; one that is dead in places cuts off the farthest parts.
    zero_share = masked_mean((disparity <= 0).astype(jnp.float32), valid)
    return losses | {"loss": sum(losses.values(), jnp.float32(0)), "zero_share": zero_share}
