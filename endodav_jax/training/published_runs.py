"""The published training runs, shared by `configs/*_scared.py` and the rows of the paper's tables.

Each function returns the sections of a complete configuration, for `config.base_config(**sections)` or
`config.Config(**sections)`; data set, weights and validation must be set by the caller.  Everything not
set here has its default: 20 epochs, Adam at 1e-4, a tenth of it after 10 epochs, learned intrinsics.
"""

from collections.abc import Callable

from endodav_jax.data.config import DataConfig
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.training.config import TrainConfig
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.phases import PhaseSchedule


def endodav(preset: str = "vitb", projection: bool = True) -> dict:
    """EndoDAV: one clip of 16 frames per step; 400 steps of spatial adapters, then 100 of temporal ones.

    Args:
      preset: preset of the backbone.
      projection: whether to use the projection loss in temporal phases; without it, this is a row of the ablation.

    Returns:
      The sections `job`, `model`, `data` and `train`.
    """
    weight = ObjectiveConfig.projection_weight if projection else 0.0
    return {
        "job": "train",
        "model": DepthModelConfig.endodav(preset),
        "data": DataConfig(clip_length=16, batch_size=1),
        "train": TrainConfig(
            phases=PhaseSchedule(spatial_steps=400, temporal_steps=100),
            objective=ObjectiveConfig(projection_weight=weight),
        ),
    }


def endodac(preset: str = "vitb") -> dict:
    """EndoDAC: eight single frames per step; DV-LoRA's factors for 20,000 steps, then its vectors.

    Args:
      preset: preset of the backbone.

    Returns:
      The sections `job`, `model`, `data` and `train`.
    """
    return {
        "job": "train",
        "model": DepthModelConfig.endodac(preset),
        "data": DataConfig(clip_length=1, batch_size=8),
        "train": TrainConfig(phases=PhaseSchedule(warm_up_steps=20_000)),
    }


# Family -> preset -> the sections of its published training; families that are not trained have none.
PUBLISHED_RUNS: dict[str, Callable[[str], dict]] = {"endodav": endodav, "endodac": endodac}
