"""A small foundation model (vitt) pretrained on the phantom's first family.

    python -m endodav_jax.main --config configs/pretrain_phantom.py --workdir DIR

Supervised, as Video-Depth-Anything is: an error of disparity that is blind to scale and shift with multi-scale
gradient matching on single frames, then temporal gradient matching on clips with the encoder at rest.  Last come the
motion networks, with known motion.  A run that is killed goes on from its last checkpoint.

The shipped depth network came from the first two stages: about an hour on one core of a CPU, the first 600 steps at the
learning rate of a schedule of 2,400.  The third stage has not been run to its end.  To ship a result:

    python tools/pack_weights.py DIR/model endodav_jax/checkpoints/phantom_vitt.safetensors
"""

from endodav_jax.config import base_config
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.pretraining.config import PretrainConfig


def get_config():
    """Returns the configuration."""
    return base_config(
        job="pretrain",
        model=DepthModelConfig.vda("vitt", image_shape=(112, 140)),
        pretrain=PretrainConfig(
            cache="out/phantom_cache",
            scenes=3000,
            clips=300,
            motion_clips=300,
            image_steps=1400,
            clip_steps=300,
            motion_steps=1500,
            image_learning_rate=1e-3,
            clip_learning_rate=3e-4,
            warm_up_steps=150,
            ema_decay=0.995,
            picture_every=200,
        ),
    )
