"""A small foundation model (vitt) pretrained on the phantom's first family.

    python -m endodav_jax.main --config pretrain_phantom --workdir DIR

Supervised, as Video-Depth-Anything is: an error of disparity that is blind to scale and shift with multi-scale
gradient matching on single frames, then temporal gradient matching on clips with the encoder at rest.  Last come the
motion networks, with known motion: flow and brightness, then the camera.

A stage that is cut short is given fewer steps and goes on from its checkpoint, its rate then let down over the last
`decay_share` of them.  To go on from networks that are there already, `--config.weights=shipped` or a checkpoint:
stages without steps keep what those give, and what has not been seen of other families (`pretrain.families`) is added.

The shipped networks came from an earlier form of this (zero and level of the output tied to the truth's; rates let
down along a cosine) in two hours on one core of a CPU, with two differences: the first 600 steps went at
the learning rate of a schedule of 2,400, and beside flow and transform trained a pose network that was left out.  To
ship a result:

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
            flow_steps=1500,
            camera_steps=3000,
            image_learning_rate=1e-3,
            clip_learning_rate=3e-4,
            warm_up_steps=150,
            ema_decay=0.995,
            picture_every=200,
        ),
    )
