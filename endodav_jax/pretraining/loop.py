"""All stages of pretraining, which can be stopped and resumed at any step."""

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from tqdm import tqdm

from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of_weights
from endodav_jax.models import build_depth_model
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.pretraining.config import PretrainConfig
from endodav_jax.pretraining.held_out import HeldOut, held_out_scenes
from endodav_jax.pretraining.motion_step import (
    CameraNetworks,
    FlowNetworks,
    Losses,
    camera_from_flow,
    camera_losses,
    flow_losses,
    motion_step,
)
from endodav_jax.pretraining.render_ahead import render_ahead
from endodav_jax.pretraining.scenes import PICTURES, Cropped, Mixture, PhantomScenes, mixture, scene_batches
from endodav_jax.pretraining.step import DRAWN, pretrain_step
from endodav_jax.training.logs import RunLog
from endodav_jax.training.partition import flatten, unflatten
from endodav_jax.training.resume import changed_fields, check_arrays, check_changes
from endodav_jax.training.run_checkpoint import RunCheckpoints, open_run, shapes_of

ADAM_BETAS = (0.9, 0.98)
LEAST_RATE = 1 / 50  # of the maximum, at the end of the decay

# Fields that may change when a stage is resumed: how far it goes, how it is computed, and what is written when.
_FREE = tuple(
    f"pretrain.{field}"
    for field in (
        "image_steps", "clip_steps", "flow_steps", "camera_steps", "coarse_output", "cache", "workers",
        "measure_every", "save_every", "log_every", "picture_every", "allow_changes",
    )
)  # fmt: skip
# Fields (or sections, ending in a dot) that only these stages use; all others are for every stage.
_USED_BY = {
    ("image",): (
        "pretrain.scenes", "pretrain.frames_per_scene", "pretrain.scenes_per_step", "pretrain.image_learning_rate",
        "pretrain.least_crop", "pretrain.wide_lenses",
    ),
    ("clip",): (
        "pretrain.clips", "pretrain.clip_length", "pretrain.clips_per_step", "pretrain.clip_learning_rate",
        "pretrain.temporal_weight",
    ),
    ("image", "clip"): (
        "model.", "pretrain.ema_decay", "pretrain.gradient_weight", "pretrain.anchor_weight",
        "pretrain.below_zero_weight", "pretrain.log_weight", "pretrain.other_cameras", "pretrain.other_cameras_of",
    ),
    ("flow", "camera"): (
        "pretrain.motion_clips", "pretrain.motion_clip_length", "pretrain.motion_clips_per_step",
        "pretrain.motion_learning_rate", "pretrain.resnet_layers",
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Stage:
    """One of the four stages: its data and length."""

    name: str
    steps: int
    learning_rate: float
    scenes: Mixture
    batch_size: int
    transforms: tuple[grain.transforms.RandomMap, ...] = ()

    def trains(self, path: str) -> bool:
        """Whether it trains a weight of the depth network: none of the motion modules on frames, the head on clips."""
        if self.name == "image":
            return "motion_modules" not in path
        return self.name == "clip" and path.startswith("head.")


def stages_of(config: PretrainConfig, image_shape: tuple[int, int]) -> tuple[Stage, Stage, Stage, Stage]:
    """Returns the stages of single frames, of clips, of flow, and of the camera.

    Args:
      config: of all stages.
      image_shape: of the depth network; single frames are cropped to it.
    """

    def scenes(count: int, frames: int, consecutive: bool, seed: int) -> Mixture:
        return mixture(
            config.families, count, consecutive=consecutive, cache=config.cache, seed=seed, frames=frames,
            height=config.frame_height, width=config.frame_width, tools=config.tools,
            wide_lenses=0.0 if consecutive else config.wide_lenses,
            camera_strength=config.other_cameras, camera_strength_of=config.other_cameras_of,
        )  # fmt: skip

    image = scenes(config.scenes, config.frames_per_scene, False, config.data_seed)
    clip = scenes(config.clips, config.clip_length, True, config.data_seed + 1)
    motion = scenes(config.motion_clips, config.motion_clip_length, True, config.data_seed + 2)
    return (
        Stage(
            "image",
            config.image_steps,
            config.image_learning_rate,
            image,
            config.scenes_per_step,
            (Cropped(image_shape, config.least_crop),),
        ),
        Stage("clip", config.clip_steps, config.clip_learning_rate, clip, config.clips_per_step),
        Stage("flow", config.flow_steps, config.motion_learning_rate, motion, config.motion_clips_per_step),
        Stage("camera", config.camera_steps, config.motion_learning_rate, motion, config.motion_clips_per_step),
    )


def _scenes_of_run(config: PretrainConfig, image_shape: tuple[int, int]) -> list[PhantomScenes]:
    """All scenes that the stages with steps, and the evaluations, will ask for."""
    sources = [source for stage in stages_of(config, image_shape) if stage.steps for source in stage.scenes.sources]
    if config.measure_every:
        sources += held_out_scenes(config).values()
    return list(dict.fromkeys(sources))


def pretrain(
    model_config: DepthModelConfig, config: PretrainConfig, seed: int, workdir: Path, start: dict | None = None
) -> dict:
    """Trains all networks and returns them by name, as pure nested dicts.

    Resumes from the newest checkpoint in `workdir`; finished stages are not repeated.

    Args:
      model_config: of the depth network.
      config: the stages; those without steps are skipped.
      seed: for the order of the data and for weights not in `start`.
      workdir: folder for checkpoints and logs.
      start: initial networks by name, in the form in which they are returned.

    Raises:
      UserError: `start` contains something that the networks do not have, or a stage began with another configuration.
    """
    start = start or {}
    settings = {"seed": seed, "model": dataclasses.asdict(model_config), "pretrain": dataclasses.asdict(config)}
    if config.workers:
        render_ahead(_scenes_of_run(config, model_config.image_shape), config.workers)
    *depth_stages, flow_stage, camera_stage = stages_of(config, model_config.image_shape)
    with RunLog(workdir) as log:
        run = functools.partial(_run_stage, config=config, settings=settings, workdir=workdir, log=log)
        held_out = HeldOut(config) if config.measure_every else None
        graphdef, first = nnx.split(build_depth_model(model_config, nnx.Rngs(seed)))
        weights = _laid_over(flatten(nnx.to_pure_dict(first)), start.get("depth"))
        for stage in depth_stages:
            if stage.steps:
                state, step = depth_stage(stage, graphdef, weights, config)
                measure = _measurement(stage, graphdef, weights, held_out) if held_out else None
                frozen = digest_of_frozen(stage, weights)
                weights |= flatten(run(stage, state, step, measure=measure, frozen_sha256=frozen)["ema"])
            if stage.steps and stage.name == "image":
                weights |= _zeroed_motion_outputs(weights)
        flow, step = _motion_stage(
            flow_stage, config, FlowNetworks(nnx.Rngs(seed), config.resnet_layers), flow_losses, start
        )
        if flow_stage.steps:
            flow = run(flow_stage, flow, step)
        camera, step = _motion_stage(
            camera_stage, config, CameraNetworks(nnx.Rngs(seed), config.resnet_layers), camera_losses, start
        )
        camera = camera if "pose" in start else camera_from_flow(camera, flow)
        if camera_stage.steps:
            camera = run(camera_stage, camera, step)
    networks = [flatten(state[part]) for state in (flow, camera) for part in ("params", "statistics")]
    return {"depth": unflatten(weights)} | unflatten(dict(collections.ChainMap(*networks)))


# state, batch, learning rate -> state, losses and, for the depth stages, "disparity" [B,T,h,w]
Step = Callable[[dict, dict, np.float32], tuple[dict, dict]]
Measurement = Callable[[dict], dict[str, float]]  # of a state


def depth_stage(stage: Stage, graphdef: nnx.GraphDef, weights: dict, config: PretrainConfig) -> tuple[dict, Step]:
    """Returns the state before the first step of a stage of the depth network, on flat weights, and its step."""
    optimiser = _optimiser(config.weight_decay, config.clip_norm)
    weights = _placed(weights)
    params = unflatten({path: leaf for path, leaf in weights.items() if stage.trains(path)})
    frozen = unflatten({path: leaf for path, leaf in weights.items() if not stage.trains(path)})
    # The average starts as a copy, since a donated array may occur only once in the state.
    state = _placed({"params": params, "ema": jax.tree.map(jnp.copy, params), "opt": optimiser.init(params)})

    def step(state, batch, rate):
        if stage.name == "image":
            batch = _as_frames(batch)
        batch = {key: batch[key] for key in DRAWN}
        return pretrain_step(state, frozen, batch, rate, graphdef=graphdef, optimiser=optimiser, config=config)

    return state, step


def _measurement(stage: Stage, graphdef: nnx.GraphDef, weights: dict, held_out: HeldOut) -> Measurement:
    def measure(state: dict) -> dict[str, float]:
        averaged = unflatten(weights | flatten(state["ema"]))
        return held_out.errors(graphdef, averaged, motion_modules=stage.name == "clip")

    return measure


def _placed(tree: dict) -> dict:
    """Returns the arrays on the device where checkpoints are restored, said explicitly: where an array may still be
    moved, JAX compiles another program, so a resumed stage would compile again."""
    return jax.device_put(tree, jax.local_devices()[0])


def _motion_stage(
    stage: Stage, config: PretrainConfig, networks: nnx.Module, losses: Losses, start: dict
) -> tuple[dict, Step]:
    optimiser = _optimiser(config.weight_decay, config.clip_norm)
    graphdef, *states = nnx.split(networks, nnx.Param, nnx.BatchStat)
    params, statistics = (flatten(nnx.to_pure_dict(state)) for state in states)
    whole = params | statistics
    for name in {path.split(".")[0] for path in params} & start.keys():
        whole = _laid_over(whole, {name: start[name]})
    params, statistics = (unflatten({path: whole[path] for path in part}) for part in (params, statistics))
    state = _placed({"params": params, "statistics": statistics, "opt": optimiser.init(params)})
    return state, functools.partial(motion_step, graphdef=graphdef, losses=losses, optimiser=optimiser)


def _laid_over(weights: dict, start: dict | None) -> dict:
    """Returns flat weights, replaced by those of `start` (nested) where given."""
    given = {path: jnp.asarray(leaf, jnp.float32) for path, leaf in flatten(start or {}).items()}
    for path, leaf in given.items():
        if path not in weights or weights[path].shape != leaf.shape:
            raise UserError(f"config.weights: {path} {leaf.shape} does not fit the network of config.model")
    return weights | given


def _zeroed_motion_outputs(weights: dict) -> dict:
    """Returns the motion modules with their last layers set to zero: they were trained with another head's maps."""
    return {
        path: jnp.zeros_like(leaf) for path, leaf in weights.items() if "motion_modules" in path and "proj_out" in path
    }


def _run_stage(
    stage: Stage,
    state: dict,
    step: Step,
    *,
    config: PretrainConfig,
    settings: dict,
    workdir: Path,
    log: RunLog,
    measure: Measurement | None = None,
    frozen_sha256: str = "",
) -> dict:
    """Runs one stage to its end, from its newest checkpoint if there is one, and returns its state."""
    record = {"stage": stage.name, "config": settings, "frozen_sha256": frozen_sha256}
    with open_run(workdir / f"{stage.name}_stage") as checkpoints:
        done = 0
        check = functools.partial(_check_record, checkpoints, record, shapes_of(state), config.allow_changes)
        restored = checkpoints.restore(jax.tree.map(leaf_to_restore, state), check)
        if restored is not None:
            done, state, _ = restored
            print(f"{stage.name} stage: resuming from step {done} of {stage.steps}")
        if measure and not done:
            log.scalars(0, f"{stage.name}_held_out", measure(state))
        workers = config.workers if done < stage.steps else 0
        source = scene_batches(
            stage.scenes, stage.batch_size, settings["seed"], done, *stage.transforms, workers=workers
        )
        steps = range(done + 1, stage.steps + 1)
        with (
            contextlib.closing(source) as batches,
            tqdm(steps, initial=done, total=stage.steps, desc=f"{stage.name} stage", mininterval=5.0) as bar,
        ):
            for number in bar:
                batch = next(batches)
                state, aux = step(state, batch, np.float32(learning_rate(stage, config, number)))
                saves = number % config.save_every == 0 or number == stage.steps
                if number % config.log_every == 0:
                    _check_finite(stage, number, aux["loss"])
                    scalars = {name: float(value) for name, value in aux.items() if value.ndim == 0}
                    bar.set_postfix(loss=f"{scalars['loss']:.3f}")
                    log.scalars(number, stage.name, scalars)
                if number % config.picture_every == 0 and "disparity" in aux:
                    log.picture(number, stage.name, _picture(batch, np.asarray(aux["disparity"])))
                if saves:
                    _check_finite(stage, number, state)
                if measure and (number % config.measure_every == 0 or number == stage.steps):
                    log.scalars(number, f"{stage.name}_held_out", measure(state))
                if saves:
                    checkpoints.save(number, state, record)
    return state


def _check_finite(stage: Stage, number: int, values: Any) -> None:
    """Raises `UserError` unless a loss, or the whole state after a step, is finite."""
    if not all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(values)):
        raise UserError(
            f"{stage.name} stage, step {number}: the loss or a weight is not finite; the last checkpoint is kept; "
            "lower the stage's learning rate (pretrain.*_learning_rate) or pretrain.clip_norm, and rerun with "
            "pretrain.allow_changes=True"
        )


def _check_record(
    checkpoints: RunCheckpoints, now: dict, shapes: dict[str, list[int]], allowed: bool, step: int, before: dict
) -> None:
    """Raises `UserError` if a checkpoint of a stage, whose record is `before`, does not go on as the record `now` says.

    Checkpoints of older versions say nothing of their configuration, and go on.
    """
    where = str(checkpoints.step_folder(step))
    lines = changed_fields(before.get("config", {}), now["config"], _free_for(now["stage"]))
    check_changes(where, lines, allowed, "pretrain.allow_changes")
    check_arrays(where, before.get("shapes", shapes), shapes)
    if before.get("frozen_sha256", now["frozen_sha256"]) != now["frozen_sha256"]:
        raise UserError(
            f"{where}: was trained on other frozen weights than those of config.weights or of the stage before; use "
            f"the same, or move {checkpoints.folder.name} away to train this stage anew"
        )


def _free_for(stage: str) -> tuple[str, ...]:
    """The fields that may change when this stage is resumed, including those that it does not use."""
    return _FREE + tuple(field for stages, fields in _USED_BY.items() if stage not in stages for field in fields)


def digest_of_frozen(stage: Stage, weights: dict) -> str:
    """Returns the SHA-256 of those flat weights of the depth network that a stage uses and does not train."""
    if stage.name == "image":  # which uses no motion modules, and trains the rest
        return ""
    return sha256_of_weights({path: np.asarray(leaf) for path, leaf in weights.items() if not stage.trains(path)})


def leaf_to_restore(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    """Returns the arguments for Orbax to restore a leaf to the location of the given one."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


@functools.cache  # a static argument of the step: equal values must be identical objects
def _optimiser(weight_decay: float, clip_norm: float) -> optax.GradientTransformation:
    """At a learning rate of 1."""
    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.adamw(
            1.0,
            *ADAM_BETAS,
            weight_decay=weight_decay,
            mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params),
        ),
    )


def learning_rate(stage: Stage, config: PretrainConfig, number: int) -> float:
    """Returns the learning rate of step `number` (from 1) of a stage: warmed up, held, then decayed linearly."""
    warm_up = max(1, min(config.warm_up_steps, stage.steps // 2))
    decay = max(1, round(config.decay_share * stage.steps))
    left = (stage.steps - number + 1) / decay
    share = min(1.0, number / warm_up) if left >= 1 else LEAST_RATE + (1 - LEAST_RATE) * left
    return stage.learning_rate * share


def _as_frames(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Makes each frame of a scene its own clip: [B,T,...] becomes [B*T,1,...]."""
    length = batch["frames"].shape[1]
    return {
        name: array.reshape(-1, 1, *array.shape[2:]) if name in PICTURES else np.repeat(array, length, axis=0)
        for name, array in batch.items()
    }


def _picture(batch: dict[str, np.ndarray], disparity: np.ndarray) -> np.ndarray:
    """Frames above true disparity above predicted disparity, for up to eight frames, uint8 [3H,8W,3]."""

    def grey(disparity: np.ndarray) -> np.ndarray:
        scaled = disparity / max(np.quantile(disparity, 0.98), 1e-6)
        return np.repeat((255 * np.clip(scaled, 0, 1)).astype(np.uint8)[..., None], 3, -1)

    frames = batch["frames"].reshape(-1, *batch["frames"].shape[2:])
    depth = batch["depth_mm"].reshape(-1, *batch["depth_mm"].shape[2:])
    shape = depth.shape[1:]
    rows, columns = (
        np.linspace(0, n - 1, m).round().astype(int) for n, m in zip(disparity.shape[-2:], shape, strict=True)
    )
    found = disparity.reshape(-1, *disparity.shape[2:])[:, rows][:, :, columns]
    columns_shown = []
    for i in np.linspace(0, len(frames) - 1, min(8, len(frames))).round().astype(int):
        true = np.where(depth[i] > 0, 1 / np.maximum(depth[i], 1e-3), 0)
        columns_shown.append(np.concatenate([frames[i], grey(true), grey(found[i])]))
    return np.concatenate(columns_shown, axis=1)
