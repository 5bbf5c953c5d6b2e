"""A small foundation model (vitt), pretrained on the phantom's first family.

    python -m endodav_jax.main --config pretrain_phantom --workdir DIR

Supervised, like Video-Depth-Anything: a scale- and shift-invariant disparity loss with multi-scale gradient matching
on single frames, then temporal gradient matching on clips with the encoder frozen.  The motion networks come last,
with known motion: flow and brightness, then the camera.

To cut a stage short, give it fewer steps: it resumes from its checkpoint, and its learning rate decays over the last
`decay_share` of them; until then it is the same, unless there are fewer than twice `warm_up_steps`.  The other settings
of a stage that has begun cannot change, except with `--config.pretrain.allow_changes=True`.  To start from existing
networks, use `--config.weights=shipped` or a checkpoint: stages without steps keep those networks, and scenes of other
families (`pretrain.families`) are added.

On a machine with an accelerator and many cores, add

    --config.model.precision=bfloat16 --config.pretrain.workers=16 --config.pretrain.scenes_per_step=32

so that scenes are rendered and read by as many processes as there are cores, and a step sees enough frames.

To make brightness say less about depth, as it does on real video, and to see through wide lenses, add

    --config.pretrain.other_cameras=1 --config.pretrain.wide_lenses=0.65 --config.pretrain.least_crop=1
    --config.pretrain.anchor_weight=0.2 --config.pretrain.log_weight=0.5

(`pretrain.other_cameras_of` has strengths by family: rigid endoscopes in narrow passages do better with .1.)

`shipped-varied` was trained so, on six families, for longer and on a GPU, by a driver that differs in details
(docs/benchmarks.md, "The network that inference uses").

The networks named `shipped` came from an earlier form of this configuration (zero and level of the output tied to the
ground truth; cosine decay) in two hours on one CPU core, with two differences: the first 600 steps used the learning
rate of a schedule of 2,400, and a pose network, later dropped, was trained along with flow and transform.
To ship a result:

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
