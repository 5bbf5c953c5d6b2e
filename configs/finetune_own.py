"""EndoDAV on video of your own endoscope: no depth, no poses and no calibration needed.

    endodav prepare frames my_videos/ data/own
    endodav convert video_depth_anything_vits.pth weights/vda_vits
    python -m endodav_jax.main --config finetune_own --workdir runs/own \\
        --config.weights=weights/vda_vits --config.data.path=data/own
    endodav infer procedure.mp4 -o out/ --weights runs/own/model

`my_videos/` holds videos or folders of images; what lies outside a round view is found and left out.  The camera's
intrinsics are learned with the rest; if yours are known and written beside the video (`intrinsics.json`: fx, fy, cx,
cy), `--config.train.objective.learn_intrinsics=False` uses them instead, which is the safer choice with little video.

What is as published: the network, its adapters, the objective and its weights, the phases.  What is not: the small
backbone; 5,000 steps at one learning rate, since an epoch of a single video is short; wet tissue's highlights count in
no loss; the camera may move little from one frame to the next, so clips take every frame up to every third.

How long it takes depends on the machine: `python tools/benchmark.py train --preset vits`.  Nobody has measured yet what
it gains on endoscopes other than SCARED's.
"""

import dataclasses

from endodav_jax.config import base_config
from endodav_jax.training import published_runs

STEPS = 5000


def get_config():
    """Returns the configuration; the data and the weights are left to say."""
    sections = published_runs.endodav("vits")
    objective = dataclasses.replace(sections["train"].objective, highlight_threshold=0.98)
    sections["train"] = dataclasses.replace(sections["train"], steps=STEPS, schedule="constant", objective=objective)
    sections["data"] = dataclasses.replace(sections["data"], frame_max_interval=3)
    return base_config(**sections)
