"""Everything on a phantom, in minutes, without data: evaluate, fine-tune without labels, evaluate again, report.

    python -m endodav_jax.main --config quickstart --workdir out/quickstart

What trains is as published: the SSB vectors and the output convolutions.  The settings are those of `phantom_study`,
shortened: smaller frames, 60 steps, each on pairs of frames from four scenes.  Training videos record every third frame
of the camera's motion, so that few frames, whose camera is solved quickly, have parallax.
"""

from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.config import base_config
from endodav_jax.data.config import DataConfig, PhantomData
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.training.config import LearningRates, TrainConfig
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.phases import PhaseSchedule

RATES = {"spatial_adapters": 8e-3, "temporal_adapters": 1e-2, "output_convolutions": 1e-3}


def get_config():
    """Returns the configuration."""
    return base_config(
        job="quickstart",
        weights=SHIPPED,
        model=DepthModelConfig.endodav("vitt", image_shape=(112, 140)),
        data=DataConfig(
            phantom=PhantomData(
                family="organ", sequences=24, frames=16, every=3, held_out=4, held_out_frames=40, height=96, width=128
            ),
            clip_length=2,
            batch_size=4,
            frame_max_interval=2,
            threads=1,
            prefetch=2,
        ),
        train=TrainConfig(
            steps=60,
            learning_rates=LearningRates(**RATES),
            schedule="cosine",
            phases=PhaseSchedule(joint=True),
            ema_decay=0.9,
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
            save_every=1000,
            log_every=2,
            picture_every=30,
        ),
        evaluate=EvaluateConfig(split="test"),
    )
