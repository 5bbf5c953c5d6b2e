"""Two hundred steps on one short real video: checks that the objective decreases, before starting a long run.

The shipped networks, given intrinsics, high learning rates, and clips that are random only in where they begin.  The
folder contains `frames/`, `mask.png` and, in `geometry.npz`, intrinsics and, if known, poses
(`endodav_jax/data/sources/frames.py`); without intrinsics, add `--config.train.objective.learn_intrinsics=True`:

    endodav prepare frames sinus/ data/overfit --split train --size 96x96
    python -m endodav_jax.main --config overfit --workdir runs/overfit \\
        --config.data.path=data/overfit
    python tools/overfit_report.py runs/overfit data/overfit

The last command prints the photometric error of the first and last steps and, if poses are known, how well the
directions of the camera motion agree with them, for the shipped networks and for those of the run.
"""

from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.config import base_config
from endodav_jax.data.config import DataConfig
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.training.config import LearningRates, TrainConfig
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.phases import PhaseSchedule

RATE = 1e-3
GROUPS = ("spatial_adapters", "temporal_adapters", "output_convolutions", "pose", "transform", "flow")


def get_config():
    """Returns the configuration; data must be set by the caller."""
    return base_config(
        job="train",
        weights=SHIPPED,
        model=DepthModelConfig.endodav("vitt", image_shape=(84, 84)),
        data=DataConfig(clip_length=4, jitter_probability=0.0, mirror_probability=0.0, threads=1, prefetch=2),
        train=TrainConfig(
            steps=200,
            learning_rates=LearningRates(**dict.fromkeys(GROUPS, RATE)),
            schedule="constant",
            phases=PhaseSchedule(joint=True),
            objective=ObjectiveConfig(learn_intrinsics=False),
            resnet_layers=10,
            save_every=200,
            log_every=1,
            picture_every=100,
        ),
    )
