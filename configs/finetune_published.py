"""EndoDAV on video from your own endoscope, trained as published: no depth, poses or calibration needed.

    endodav prepare frames my_videos/ data/own
    endodav convert video_depth_anything_vits.pth weights/vda_vits
    python -m endodav_jax.main --config finetune_published --workdir runs/published \\
        --config.weights=weights/vda_vits --config.data.path=data/own
    endodav infer procedure.mp4 -o out/ --weights runs/published/model

`my_videos/` contains videos or folders of images; pixels outside a round view are detected and excluded.  The camera
intrinsics are learned as well; if yours are known and stored beside the video (`intrinsics.json`: fx, fy, cx,
cy), `--config.train.objective.learn_intrinsics=False` uses them instead, which is the safer choice with little video.

As published: the network, its adapters, the objective and its weights, the phases.  Different: the small
backbone; 5,000 steps at a constant learning rate, since an epoch of a single video is short; specular highlights are
excluded from every loss; clips take every frame up to every third, since the camera may move little between frames.

What to expect: of these settings there are only the paper's figures, for SCARED, and none of our own.  The settings
that gained on rendered scenes and on a real clip are in `finetune_own`.

The run time depends on the machine: `python tools/benchmark.py train --preset vits`.
"""

import dataclasses

from endodav_jax.config import base_config
from endodav_jax.training import published_runs
from endodav_jax.training.objective_config import HIGHLIGHTS

STEPS = 5000


def get_config():
    """Returns the configuration; data and weights must be set by the caller."""
    sections = published_runs.endodav("vits")
    objective = dataclasses.replace(sections["train"].objective, highlight_threshold=HIGHLIGHTS)
    sections["train"] = dataclasses.replace(sections["train"], steps=STEPS, schedule="constant", objective=objective)
    sections["data"] = dataclasses.replace(sections["data"], frame_max_interval=3)
    return base_config(**sections)
