"""A training step at the least size that has every part: for tests of the step, of devices and of resuming."""

import jax
import numpy as np

from endodav_jax.config import Config
from endodav_jax.data.config import DataConfig
from endodav_jax.data.contract import NO_JITTER
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.training.config import TrainConfig
from endodav_jax.training.initial import initial_networks
from endodav_jax.training.step import TrainStep, new_state

SIZE = 64  # the motion networks halve it five times, and reflect at the border of what is left
LENGTH = 2


def toy_config(weights: str = "", **train) -> Config:
    """EndoDAV with the smallest backbone, one clip of two frames.

    The shipped weights (with `resnet_layers=10`) are there at once; random ones are most of a minute's compilation.
    """
    return Config(
        weights=weights,
        model=DepthModelConfig.endodav("vitt", image_shape=(28, 28)),
        data=DataConfig(clip_length=LENGTH),
        train=TrainConfig(**train),
    )


def toy_step(config: Config, axis_name: str | None = None):
    """Returns (step, state before the first, frozen groups).

    The motion modules' last layers start at zero, as published, and would let no gradient through to their adapters.
    """
    start = initial_networks(config, axis_name)
    backbone = start.frozen["backbone"]
    rng = np.random.default_rng(0)
    for path in (path for path in backbone if path.endswith("proj_out.kernel")):
        backbone[path] = rng.normal(0, 0.05, backbone[path].shape).astype(np.float32)
    step = TrainStep(start.graphdef, config.train, lambda number: np.float32(1) + 0 * number, axis_name)
    return step, new_state(start.trained, start.statistics, config.train), start.frozen


def toy_batch(number: int, clips: int) -> dict[str, np.ndarray]:
    """A batch as `data.contract.BATCH` says: smooth random pictures that drift from frame to frame."""
    rng = np.random.default_rng(number)
    frames = LENGTH + 2
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    waves = rng.uniform(2, 9, (clips, 3, 2)), rng.uniform(0, 6, (clips, 3))
    drift = np.arange(frames)[:, None, None] * 0.02
    pictures = np.stack(
        [
            [np.sin(fx * (x + drift) + fy * y + phase) for (fx, fy), phase in zip(fs, phases, strict=True)]
            for fs, phases in zip(*waves, strict=True)
        ]
    )
    pictures = np.moveaxis(pictures, 1, -1) + rng.normal(0, 0.05, (clips, frames, SIZE, SIZE, 3))
    return {
        "frames": np.clip(127 + 100 * pictures, 0, 255).astype(np.uint8),
        "jitter": np.tile(np.array(NO_JITTER, np.float32), (clips, 1)),
        "jitter_order": np.tile(np.arange(4, dtype=np.int32), (clips, 1)),
        "intrinsics": np.tile(np.array([50, 60, 32, 32], np.float32), (clips, 1)),
        "view_mask": np.ones((clips, SIZE, SIZE), bool),
        "frame_index": np.tile(np.arange(frames, dtype=np.int32), (clips, 1)),
        "sequence": np.zeros(clips, np.int32),
    }


def traced_phases(step):
    """Returns the step compiled phase by phase, and the list of phases that it was compiled for, as it grows."""
    traced: list[str] = []

    def noted(state, frozen, batch, phase):
        traced.append(phase.name)
        return step(state, frozen, batch, phase)

    return jax.jit(noted, static_argnums=3), traced
