"""How much of a network's error its adapters could remove if they were trained on the true depth.

    python tools/benchmark.py adapters --workdir out/quickstart --rate 3e-3

What fine-tuning without labels changes in as many steps can hardly be more.  It trains on the training sequences of a
quickstart's folder, with the quickstart's network, and measures on its held-out sequences before and after.  The
output convolutions learn as well, as in the quickstart.  It also says by how many pixels the held-out frames move from
one to the next.
"""

import argparse
import dataclasses
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from benchmarks import _options
from flax import nnx

from endodav_jax.config import Config, read_config
from endodav_jax.data.augment import colour_jitter, to_float
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.data.pipeline import ClipBatches
from endodav_jax.evaluation.evaluate import evaluate_network
from endodav_jax.geometry.flow import rigid_flow
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.geometry.resize import resize_nearest
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.pretraining.step import clip_losses
from endodav_jax.training.initial import Initial, initial_networks
from endodav_jax.training.partition import join_groups, select

HELP = "what the adapters could gain if ground truth taught them: an upper bound for fine-tuning without labels"

ADAPTERS = ("spatial_adapters", "temporal_adapters", "output_convolutions")
LOSSES = ("disparity", "depth")
SHOWN = ("abs_rel", "rmse", "a1", "tae")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments."""
    add = parser.add_argument
    add("--workdir", type=Path, required=True, help="of a quickstart, for its data")
    add("--config", default="quickstart", help="a name or a file (default: quickstart)")
    add("--loss", choices=LOSSES, default="disparity",
        help="disparity: as in pretraining, blind to scale and shift; depth: |log depth|, blind to scale")  # fmt: skip
    add("--rate", type=_options.positive, default=3e-3, help="Adam's learning rate (default: 3e-3)")
    add("--steps", type=_options.at_least(1), default=60)
    add("--clip-length", type=_options.at_least(1), default=6)


def run_arguments(args: argparse.Namespace) -> None:
    """Measures and prints one line of JSON."""
    config = read_config(args.config)
    data = dataclasses.replace(
        config.data, path=str(args.workdir / "data"), clip_length=args.clip_length, ground_truth=True
    )
    config = dataclasses.replace(
        config, data=data, train=dataclasses.replace(config.train, train_output_convolutions=True)
    )
    start = initial_networks(config, None)
    params = {group: start.trained[group] for group in ADAPTERS}
    videos = EvaluationVideos(data.path, config.evaluate.split)
    before = _measured(config, start, params, videos)
    params = _taught(config, start, params, args.loss, args.rate, args.steps)
    figures = {"before": before, "after": _measured(config, start, params, videos)}
    figures["motion_pixels"] = round(_motion(videos), 2)
    print(json.dumps(figures | {"loss": args.loss, "rate": args.rate, "steps": args.steps}))


def _taught(config: Config, start: Initial, params: dict, loss: str, rate: float, steps: int) -> dict:
    others = _others(start)
    optimiser = optax.adam(rate)
    state = optimiser.init(params)

    @jax.jit
    def step(params, state, others, batch):
        frames = colour_jitter(to_float(batch["frames"]), batch["jitter"], batch["jitter_order"])[:, 1:-1]

        def objective(params):
            networks = nnx.merge(start.graphdef, join_groups(params), others, start.statistics, copy=True)
            disparity = networks.depth(frames, batch["view_mask"])[0]
            truth = resize_nearest(batch["depth_mm"][:, 1:-1], disparity.shape[-2:], "align_corners")
            if loss == "disparity":
                return clip_losses(disparity, truth, config.pretrain)["loss"]
            valid = truth > 0
            error = jnp.log(config.model.depth(disparity)) - jnp.log(jnp.where(valid, truth, 1.0))
            level = jax.lax.stop_gradient(jnp.mean(error, where=valid))
            return jnp.mean(jnp.abs(error - level), where=valid)

        updates, new_state = optimiser.update(jax.grad(objective)(params), state, params)
        return optax.apply_updates(params, updates), new_state

    with ClipBatches(config.data, config.seed, 0, 1) as batches:
        for _ in range(steps):
            params, state = step(params, state, others, next(batches))
    return params


def _others(start: Initial) -> dict:
    return join_groups(select(start.trained, set(start.trained) - set(ADAPTERS)), start.frozen)


def _measured(config: Config, start: Initial, params: dict, videos: EvaluationVideos) -> dict[str, float]:
    networks = nnx.merge(start.graphdef, join_groups(params), _others(start), start.statistics, copy=True)
    depth = nnx.to_pure_dict(nnx.state(networks.depth, nnx.Param))
    estimator = DepthEstimator(config.model, depth)
    means = evaluate_network(estimator, videos, config.evaluate, "adapters").complete().means()
    return {name: round(means[name], 4) for name in SHOWN}


def _motion(videos: EvaluationVideos) -> float:
    """Mean length of the flow between neighbouring frames, in pixels."""
    lengths = []
    for sequence in videos.sequences:
        for before, after in itertools.pairwise(videos.frames(sequence)):
            depth = jnp.asarray(before.depth_mm, jnp.float32)[None]
            motion = after.cam_from_world @ inverse_rigid(before.cam_from_world)
            camera, motion = (jnp.asarray(values, jnp.float32)[None] for values in (before.intrinsics, motion))
            flow = rigid_flow(depth, camera, motion)
            lengths.append(float(jnp.mean(jnp.linalg.norm(flow, axis=-1), where=depth > 0)))
    return sum(lengths) / len(lengths)
