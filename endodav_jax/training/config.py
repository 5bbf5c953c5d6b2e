"""The `train` section of a configuration."""

import dataclasses
from typing import Any, Literal

from endodav_jax.choices import Precision
from endodav_jax.fields import check_choices
from endodav_jax.models.groups import GROUPS
from endodav_jax.models.resnet import RESNETS
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.phases import PhaseSchedule

_rates: Any = dataclasses.make_dataclass(
    "_rates",
    [(group.name, float, group.learning_rate) for group in GROUPS.values() if group.trainable],
    frozen=True,
)


class LearningRates(_rates):
    """Adam's learning rate of every group that is ever trained, at the start: a field for each of `models.groups`."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Self-supervised training.  Contradictions raise `ValueError` when it is built.

    Attributes:
      epochs: passes over the blocks of the training split.
      steps: steps in all, in place of `epochs`; 0 leaves it to `epochs`.
      learning_rates: of each group.
      schedule: `step` lets all rates drop at `drop_epoch`; `constant`; `cosine` lets them down to 0 at the end.
      drop_epoch, drop_factor: of `step`; published: a tenth after 10 of 20 epochs.
      phases: which group trains when.
      train_output_convolutions: train the single head's last convolutions too.
      clip_norm: gradients of each update are scaled down to this norm; 0 leaves them.
      ema_decay: keep averaged weights, which validation and export then use; 0 keeps none.
      objective: the losses.
      resnet_layers: of the motion networks: 18, 34 or 50 as published, 10 for our own narrow ones.
      resnet_weights: converted or torchvision ResNet weights for their encoders; empty for random ones.
      precision: of the motion networks; the depth network's is `model.precision`.
      remat: recompute the depth network's blocks in its backward pass, for a fraction of the memory.
      on_nan: what a loss or gradient that is not finite does: `stop` the run, or `skip` the step and count it.
      allow_changes: resume a run with other settings than its checkpoint was trained with, where they change the run.
      save_every: steps between checkpoints, besides one at the end of each epoch.
      keep_last: newest checkpoints kept; the best by validation RMSE is kept besides.
      log_every: steps between lines of `metrics.jsonl`, and between looks at whether steps were finite (and, on several
        hosts, at whether one of them was told to stop).
      picture_every: steps between pictures; 0 for none.
      validation_path: prepared data set to validate on after each epoch; empty for none.
      validation_split: of it.
      validation_frames: frames of each sequence that are looked at; 0 for all.
      coordinator: of a run on several hosts: empty for one process, `auto` for SLURM, GKE and TPU pods, or host:port.
      processes, process: with host:port, how many processes there are and which this is.
    """

    epochs: int = 20
    steps: int = 0
    learning_rates: LearningRates = LearningRates()
    schedule: Literal["step", "constant", "cosine"] = "step"
    drop_epoch: int = 10
    drop_factor: float = 0.1
    phases: PhaseSchedule = PhaseSchedule()
    train_output_convolutions: bool = True
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    objective: ObjectiveConfig = ObjectiveConfig()
    resnet_layers: int = 18
    resnet_weights: str = ""
    precision: Precision = "float32"
    remat: bool = True
    on_nan: Literal["stop", "skip"] = "stop"
    allow_changes: bool = False
    save_every: int = 500
    keep_last: int = 2
    log_every: int = 10
    picture_every: int = 400
    validation_path: str = ""
    validation_split: str = "validation"
    validation_frames: int = 0
    coordinator: str = ""
    processes: int = 1
    process: int = 0

    def __post_init__(self):
        check_choices(self, "train")
        if self.resnet_layers not in RESNETS:
            known = ", ".join(map(str, RESNETS))
            raise ValueError(f"train.resnet_layers: {self.resnet_layers} is not one of {known}")
        for field in ("save_every", "keep_last", "log_every", "processes"):
            if getattr(self, field) < 1:
                raise ValueError(f"train.{field}: {getattr(self, field)} must be at least 1")
        for field in ("steps", "clip_norm", "picture_every", "validation_frames", "process"):
            if getattr(self, field) < 0:
                raise ValueError(f"train.{field}: {getattr(self, field)} must not be negative")
        if self.steps == 0 and self.epochs < 1:
            raise ValueError("train.epochs: must be at least 1 where train.steps is 0")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"train.ema_decay: {self.ema_decay} must lie in [0, 1)")
