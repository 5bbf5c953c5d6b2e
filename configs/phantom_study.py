"""Whether fine-tuning makes depth better: a rendered patient that nothing was trained on, at a length that shows it.

    python -m endodav_jax.main --config phantom_study --workdir out/study
    endodav evaluate out/study/data/phantom --weights shipped -o out/study/before
    endodav evaluate out/study/data/phantom --weights out/study/model -o out/study/after

What trains is as published: the SSB vectors and the output convolutions.  What differs from the published training: the
small network that comes with the package; the camera's path, solved before training; the relative projection loss;
known intrinsics; three short clips a step, so that it learns from several scenes at once; frames further apart, since
at this size neighbouring frames are moved by a third of a pixel; flow and brightness networks as they were pretrained;
both kinds of adapters at once, at rates that are high because steps are few: the vectors scale what they are applied
to, and start at one; the finest scale alone; no smoothness.
"""

from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.config import base_config
from endodav_jax.data.config import DataConfig, PhantomData
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.training.config import LearningRates, TrainConfig
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.phases import PhaseSchedule

STEPS = 200
RATES = {"spatial_adapters": 0.25, "temporal_adapters": 0.16, "output_convolutions": 2e-3}


def get_config():
    """Returns the configuration."""
    return base_config(
        job="train",
        weights=SHIPPED,
        model=DepthModelConfig.endodav("vitt", image_shape=(112, 140)),
        data=DataConfig(
            phantom=PhantomData(family="organ", sequences=48, held_out=6, frames=48, height=128, width=160),
            clip_length=4,
            batch_size=3,
            frame_max_interval=5,
            threads=1,
            prefetch=2,
        ),
        train=TrainConfig(
            steps=STEPS,
            learning_rates=LearningRates(**RATES),
            schedule="cosine",
            phases=PhaseSchedule(joint=True),
            ema_decay=0.95,
            objective=ObjectiveConfig(
                scales=(0,),
                camera="path",
                learn_intrinsics=False,
                learn_registration=False,
                projection_weight=0.15,
                projection_relative=True,
                disparity_smoothness=0.0,
                remat=False,
            ),
            resnet_layers=10,
            remat=False,
            save_every=50,
            picture_every=STEPS,
        ),
        evaluate=EvaluateConfig(split="test"),
    )
