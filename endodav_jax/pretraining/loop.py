"""Both stages of pretraining from the first step to the last, resumable at any of them."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from tqdm import tqdm

from endodav_jax.data.phantom import PhantomConfig
from endodav_jax.models import build_depth_model
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.pretraining.config import PretrainConfig
from endodav_jax.pretraining.scenes import PhantomScenes, scene_batches
from endodav_jax.pretraining.step import pretrain_step
from endodav_jax.training.logs import RunLog
from endodav_jax.training.partition import flatten, unflatten
from endodav_jax.training.run_checkpoint import RunCheckpoints, open_run

ADAM_BETAS = (0.9, 0.98)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One of the two: what it trains, on what, for how long."""

    name: str
    steps: int
    learning_rate: float
    scenes: PhantomScenes
    batch_size: int

    def trains(self, path: str) -> bool:
        """Single frames say nothing of time; clips train the head alone, on a resting encoder."""
        if self.name == "image":
            return "motion_modules" not in path
        return path.startswith("head.")


def stages_of(config: PretrainConfig) -> tuple[Stage, Stage]:
    """Returns the stage of single frames and the stage of clips."""

    def scenes(count: int, frames: int, consecutive: bool, seed: int) -> PhantomScenes:
        phantom = PhantomConfig(
            family=config.family, seed=seed, sequences=count, frames=frames,
            height=config.frame_height, width=config.frame_width,
        )  # fmt: skip
        return PhantomScenes(phantom, consecutive, config.cache)

    image = scenes(config.scenes, config.frames_per_scene, False, config.data_seed)
    clip = scenes(config.clips, config.clip_length, True, config.data_seed + 1)
    return (
        Stage("image", config.image_steps, config.image_learning_rate, image, config.scenes_per_step),
        Stage("clip", config.clip_steps, config.clip_learning_rate, clip, config.clips_per_step),
    )


def pretrain(model_config: DepthModelConfig, config: PretrainConfig, seed: int, workdir: Path) -> dict:
    """Trains a depth network from random weights and returns its averaged weights, a pure nested dict.

    Goes on from the newest checkpoint below `workdir`; a stage that is done is not done again.
    """
    model = build_depth_model(model_config, nnx.Rngs(seed))
    graphdef, state = nnx.split(model)
    weights = flatten(nnx.to_pure_dict(state))
    with RunLog(workdir) as log:
        for stage in stages_of(config):
            with open_run(workdir / f"{stage.name}_stage") as checkpoints:
                weights = _run_stage(stage, graphdef, weights, config, seed, checkpoints, log)
    return unflatten(weights)


def _run_stage(
    stage: Stage,
    graphdef: nnx.GraphDef,
    weights: dict,
    config: PretrainConfig,
    seed: int,
    checkpoints: RunCheckpoints,
    log: RunLog,
) -> dict:
    """Runs one stage on flat weights and returns them with the trained ones averaged."""
    optimiser = _optimiser(stage.steps, stage.learning_rate, config)
    params = unflatten({path: leaf for path, leaf in weights.items() if stage.trains(path)})
    frozen = unflatten({path: leaf for path, leaf in weights.items() if not stage.trains(path)})
    # The average starts as a copy: a donated array may stand in the state once only.
    state = {"params": params, "ema": jax.tree.map(jnp.copy, params), "opt": optimiser.init(params)}
    done = 0
    restored = checkpoints.restore(jax.tree.map(leaf_to_restore, state))
    if restored is not None:
        done, state, _ = restored
        print(f"{stage.name} stage: going on from step {done} of {stage.steps}")
    batches = scene_batches(stage.scenes, stage.batch_size, seed, done)
    bar = tqdm(range(done, stage.steps), initial=done, total=stage.steps, desc=f"{stage.name} stage", mininterval=5.0)
    for step in bar:
        batch = _as_frames(next(batches)) if stage.name == "image" else next(batches)
        state, aux = pretrain_step(state, frozen, batch, graphdef=graphdef, optimiser=optimiser, config=config)
        number = step + 1
        if number % config.log_every == 0:
            scalars = {name: float(value) for name, value in aux.items() if value.ndim == 0}
            if not np.isfinite(scalars["loss"]):
                raise FloatingPointError(f"{stage.name} stage, step {number}: the loss is {scalars['loss']}")
            bar.set_postfix(loss=f"{scalars['loss']:.3f}")
            log.scalars(number, stage.name, scalars)
        if number % config.picture_every == 0:
            log.picture(number, stage.name, _picture(batch, np.asarray(aux["disparity"])))
        if number % config.save_every == 0 or number == stage.steps:
            checkpoints.save(number, state, {"stage": stage.name})
    return weights | flatten(state["ema"])


def leaf_to_restore(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    """Returns what Orbax needs to know to read a leaf to where the given one is."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


def _optimiser(steps: int, learning_rate: float, config: PretrainConfig) -> optax.GradientTransformation:
    return _cached_optimiser(
        steps, learning_rate, min(config.warm_up_steps, steps // 2), config.weight_decay, config.clip_norm
    )


@functools.cache  # it is a static argument of the step: an equal one must be the same one
def _cached_optimiser(steps, learning_rate, warm_up, weight_decay, clip_norm) -> optax.GradientTransformation:
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, warm_up, steps, learning_rate / 50)
    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.adamw(
            schedule,
            *ADAM_BETAS,
            weight_decay=weight_decay,
            mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params),
        ),
    )


def _as_frames(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Makes each frame of a scene a clip of its own: [B,T,...] becomes [B*T,1,...]."""
    length = batch["frames"].shape[1]
    return {
        name: np.repeat(array, length, axis=0) if name.startswith("jitter") else array.reshape(-1, 1, *array.shape[2:])
        for name, array in batch.items()
    }


def _picture(batch: dict[str, np.ndarray], disparity: np.ndarray) -> np.ndarray:
    """Frames over true disparity over predicted disparity, for up to eight frames, uint8 [3H,8W,3]."""

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
