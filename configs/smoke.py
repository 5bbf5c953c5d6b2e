"""Twenty steps of EndoDAV's training at toy size, to check that everything works: no data or weights needed.

    python -m endodav_jax.main --config smoke --workdir out/smoke

The shipped networks on a phantom of two short sequences.  They learn nothing worth keeping, but the run writes
checkpoints, a validation and pictures, and tests kill and resume it.  Spatial and temporal adapters are trained
together and only the finest scale is compared, since most of its time is compilation.
"""

from endodav_jax.checkpoints.shipped import SHIPPED
from endodav_jax.config import base_config
from endodav_jax.data.config import DataConfig, PhantomData
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.training.config import TrainConfig
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.phases import PhaseSchedule


def get_config():
    """Returns the configuration."""
    return base_config(
        job="train",
        weights=SHIPPED,
        model=DepthModelConfig.endodav("vitt", image_shape=(28, 28)),
        data=DataConfig(
            phantom=PhantomData(family="organ", sequences=2, frames=10, height=64, width=64),
            clip_length=2,
            threads=1,
            prefetch=1,
        ),
        train=TrainConfig(
            steps=20,
            phases=PhaseSchedule(joint=True),
            objective=ObjectiveConfig(scales=(0,), remat=False),
            resnet_layers=10,
            remat=False,
            save_every=5,
            log_every=1,
            picture_every=10,
            validation_frames=4,
        ),
    )
