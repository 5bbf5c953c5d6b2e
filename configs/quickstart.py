"""Everything on a phantom, in minutes, without data: evaluate, fine-tune without labels, evaluate again, report.

    python -m endodav_jax.main --config quickstart --workdir out/quickstart

Differences from the published training: the small network shipped with the package; sixty steps, hence higher learning
rates; only the finest scale; known intrinsics; clips with a larger frame interval, since at this size neighbouring
frames differ by one pixel; both kinds of adapters at once, without the output convolutions; a larger projection weight.
"""

from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.config import base_config
from endodav_jax.data.config import DataConfig, PhantomData
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.training.config import LearningRates, TrainConfig
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.phases import PhaseSchedule

RATES = {"spatial_adapters": 2e-3, "temporal_adapters": 1e-2}
# The shipped networks predict depths of about 0.1, where the published ones predict depths above 1: the projection
# loss, which is measured in that unit, would be far too small with the published 0.01.
PROJECTION_WEIGHT = 10.0


def get_config():
    """Returns the configuration."""
    return base_config(
        job="quickstart",
        weights=SHIPPED,
        model=DepthModelConfig.endodav("vitt", image_shape=(112, 140)),
        data=DataConfig(
            phantom=PhantomData(family="organ", sequences=8, held_out=4, frames=40, height=96, width=128),
            clip_length=4,
            frame_max_interval=4,
            threads=1,
            prefetch=2,
        ),
        train=TrainConfig(
            steps=60,
            learning_rates=LearningRates(**RATES),
            schedule="cosine",
            train_output_convolutions=False,  # in so few steps, training them costs more than the vectors gain
            phases=PhaseSchedule(joint=True),
            objective=ObjectiveConfig(
                scales=(0,), learn_intrinsics=False, remat=False, projection_weight=PROJECTION_WEIGHT
            ),
            resnet_layers=10,
            remat=False,
            save_every=1000,
            log_every=2,
            picture_every=30,
        ),
        evaluate=EvaluateConfig(split="test"),
    )
