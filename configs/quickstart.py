"""Everything on a phantom, in minutes, without data: evaluate, fine-tune without labels, evaluate again, report.

    python -m endodav_jax.main --config quickstart --workdir out/quickstart

What trains is as published: the SSB vectors and the output convolutions.  The settings are those of `phantom_study`,
shortened: smaller frames, and 60 steps, each on pairs of frames from four scenes.  Training videos record every third
frame of the camera's motion, so that few frames, whose camera is solved quickly, have parallax.  It starts from
`shipped-varied`, which is less steady than the network the study starts from and so has more to gain
(docs/benchmarks.md).
"""

import dataclasses

from endodav_jax.checkpoints.shipped import VARIED
from endodav_jax.config import base_config, read_config
from endodav_jax.data.config import PhantomData

STEPS = 60


def get_config():
    """Returns the configuration."""
    study = read_config("phantom_study")
    phantom = PhantomData(
        family="organ", sequences=24, frames=16, every=3, held_out=4, held_out_frames=40, height=96, width=128
    )
    return base_config(
        job="quickstart",
        weights=VARIED,
        model=study.model,
        data=dataclasses.replace(study.data, phantom=phantom, clip_length=2, batch_size=4, frame_max_interval=2),
        train=dataclasses.replace(
            study.train,
            steps=STEPS,
            ema_decay=0.9,
            save_every=1000,
            log_every=2,
            picture_every=30,
        ),
        evaluate=study.evaluate,
    )
