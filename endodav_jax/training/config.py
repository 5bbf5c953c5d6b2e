"""The `train` section of a configuration."""

import dataclasses
from typing import Any, Literal

from endodav_jax.choices import Precision
from endodav_jax.fields import check_choices, check_numbers
from endodav_jax.models.groups import GROUPS
from endodav_jax.models.resnet import PUBLISHED_LAYERS, RESNETS
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.phases import PhaseSchedule

_rates: Any = dataclasses.make_dataclass(
    "_rates",
    [(group.name, float, group.learning_rate) for group in GROUPS.values() if group.trainable],
    frozen=True,
)


@dataclasses.dataclass(frozen=True)
class LearningRates(_rates):
    """Adam's initial learning rate for every group that can be trained: one field for each group in `models.groups`."""

    def __post_init__(self):
        check_numbers(self, "train.learning_rates")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Self-supervised training.  Contradictions raise `ValueError` when it is built.

    Attributes:
      epochs: passes over the blocks of the training split.
      steps: total number of steps, overriding `epochs`; 0 uses `epochs`.
      learning_rates: learning rate of each group.
      schedule: `step` reduces all rates at `drop_epoch`; `constant`; `cosine` decays them to 0 at the end.
      drop_epoch, drop_factor: for `step`; published: a tenth after 10 of 20 epochs.
      phases: which group is trained when.
      train_output_convolutions: also train the last convolutions of the single head.
      clip_norm: clip the gradients of each update to this norm; 0 does not clip.
      ema_decay: keep averaged weights, which are then used for validation and export; 0 keeps none.
      objective: the losses.
      resnet_layers: size of the motion networks: 18, 34 or 50 as published, 10 for our own narrow ones.
      resnet_weights: converted or torchvision ResNet weights for their encoders; empty for random ones.
      precision: precision of the motion networks; that of the depth network is `model.precision`.
      remat: recompute the blocks of the depth network in its backward pass, for a fraction of the memory.
      on_nan: if a loss or gradient is not finite, `stop` the run, or `skip` the step and count it.
      allow_changes: allow resuming with settings that differ from those of the checkpoint and affect the run.
      save_every: steps between checkpoints, in addition to one at the end of each epoch.
      keep_last: number of newest checkpoints to keep, in addition to the best by validation RMSE.
      log_every: steps between lines in `metrics.jsonl`, and between checks that steps were finite (and, on several
        hosts, whether one of them was told to stop).
      picture_every: steps between pictures; 0 for none.
      validation_path: prepared data set to validate on before the first step, after the last and in between, as
        `evaluate` says but for `evaluate.steady`, which validation leaves out; empty for none.
      validation_split: split of that data set.
      validation_frames: number of frames to evaluate in each sequence; 0 for all.
      validate_every: steps between validations; 0 validates after each epoch.
      coordinator: for several hosts: empty for a single process, `auto` for SLURM, GKE and TPU pods, or host:port.
      processes, process: with host:port, the number of processes and the index of this one.
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
    resnet_layers: int = PUBLISHED_LAYERS
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
    validate_every: int = 0
    coordinator: str = ""
    processes: int = 1
    process: int = 0

    def __post_init__(self):
        check_choices(self, "train")
        if self.resnet_layers not in RESNETS:
            known = ", ".join(map(str, RESNETS))
            raise ValueError(f"train.resnet_layers: {self.resnet_layers} is not one of {known}")
        check_numbers(self, "train", positive=("save_every", "keep_last", "log_every", "processes"))
        if self.steps == 0 and self.epochs < 1:
            raise ValueError("train.epochs: must be at least 1 if train.steps is 0")
        if self.ema_decay >= 1:
            raise ValueError(f"train.ema_decay: {self.ema_decay} must be in [0, 1)")

    def without_projection_loss(self) -> "TrainConfig":
        """The same, but for the projection loss, as in the paper's ablation."""
        return dataclasses.replace(self, objective=dataclasses.replace(self.objective, projection_weight=0.0))
