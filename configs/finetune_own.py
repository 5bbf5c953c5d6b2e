"""EndoDAV on video from your own endoscope, by the settings of our study: no depth or poses, a known camera.

    endodav prepare frames my_videos/ data/own --intrinsics FX,FY,CX,CY
    python -m endodav_jax.main --config finetune_own --workdir runs/own --config.data.path=data/own
    endodav infer procedure.mp4 -o out/ --weights runs/own/model

`my_videos/` contains videos or folders of images; pixels outside a round view are detected and excluded.  The camera is
what `--intrinsics` says, in pixels of the videos, or `intrinsics.json` beside them.

What trains is as published: the SSB vectors and the output convolutions.  The settings are those of `phantom_study`,
but for the network that training starts from (the one that was pretrained longest), 60 steps instead of 200,
two clips a step instead of three, intervals up to 4, and specular highlights, which are excluded from every loss.

What to expect: on the one real clip with known depth that we have, abs rel fell by 37% to 47% (three seeds); the 200
steps of the study, from the same network, lowered it by 14% to 43% on rendered organs.  Signs that it does not come: a
warning of too little parallax at the start; in the run's report, a photometric error that stays as it was, or relief
that shrinks (docs/finetune.md).

If the camera is not known, `--config.data.intrinsics=guessed` takes a guess in its place.  The published
training, on the published weights, which learns the intrinsics as well: `finetune_published`.
"""

import dataclasses

from endodav_jax.checkpoints.shipped import VARIED
from endodav_jax.config import base_config, read_config
from endodav_jax.data.config import PhantomData
from endodav_jax.training.objective_config import HIGHLIGHTS

STEPS = 60


def get_config():
    """Returns the configuration; the data must be set by the caller."""
    study = read_config("phantom_study")
    objective = dataclasses.replace(study.train.objective, highlight_threshold=HIGHLIGHTS)
    return base_config(
        job="train",
        weights=VARIED,
        model=study.model,
        data=dataclasses.replace(study.data, phantom=PhantomData(), batch_size=2, frame_max_interval=4),
        train=dataclasses.replace(study.train, steps=STEPS, objective=objective, log_every=5, picture_every=STEPS),
        evaluate=study.evaluate,
    )
