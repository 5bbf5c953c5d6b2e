"""Everything on a phantom, in minutes, with nothing to bring: measure, fine-tune without labels, measure again, report.

    python -m endodav_jax.main --config quickstart --workdir out/quickstart

What differs from the published training: the small network that comes with the package; sixty steps, and so higher
rates; the finest scale alone; known intrinsics; clips of frames further apart, since at this size neighbouring frames
are moved by one pixel; both kinds of adapters at once, without the output convolutions; a heavier projection loss.
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
# The shipped networks see the world at depths about 0.1, where those of the published ones are larger than 1: the
# projection loss, which counts in that unit, would be far too small with the published 0.01.
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
            train_output_convolutions=False,  # in so few steps they lose more than the vectors gain
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
