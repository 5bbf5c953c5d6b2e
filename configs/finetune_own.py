"""EndoDAV on video from your own endoscope: no depth, poses or calibration needed.

    endodav prepare frames my_videos/ data/own
    endodav convert video_depth_anything_vits.pth weights/vda_vits
    python -m endodav_jax.main --config finetune_own --workdir runs/own \\
        --config.weights=weights/vda_vits --config.data.path=data/own
    endodav infer procedure.mp4 -o out/ --weights runs/own/model

The small network that comes with the package is another start: `--config.weights=shipped`, with
`--config.model.preset=vitt --config.train.resnet_layers=10`.

`my_videos/` contains videos or folders of images; pixels outside a round view are detected and excluded.  The camera
intrinsics are learned as well; if yours are known and stored beside the video (`intrinsics.json`: fx, fy, cx,
cy), `--config.train.objective.learn_intrinsics=False` uses them instead, which is the safer choice with little video.

As published: the network, its adapters, the objective and its weights, the phases.  Different: the small
backbone; 5,000 steps at a constant learning rate, since an epoch of a single video is short; specular highlights are
excluded from every loss; clips take every frame up to every third, since the camera may move little between frames.

If the camera is calibrated (`intrinsics.json` beside the videos), the settings that gained most on rendered scenes are
those of `phantom_study`: `--config.train.objective.camera=path`, `--config.train.objective.learn_intrinsics=False`,
`--config.train.objective.projection_relative=True` with `--config.train.objective.projection_weight=0.15`,
`--config.data.frame_interval=auto`, and for a run of a few hundred steps `--config.train.schedule=cosine` with rates of
`--config.train.learning_rates.spatial_adapters=0.25`, `--config.train.learning_rates.temporal_adapters=0.16` and
`--config.train.learning_rates.output_convolutions=2e-3`.

What to expect: with those settings abs rel fell by 20% to 32% in 200 steps on rendered patients.  On the one real clip
with known depth, 35 frames of a sinus, it fell only where depth is aligned by its median (`docs/benchmarks.md`).  Of
the published settings there are only the paper's figures, for SCARED.  Fine-tuning fails quietly: compare `endodav
evaluate` before and after or, without ground truth, look at the run's report.  A photometric error that hardly falls
says that the video teaches little, relief that falls far below what it was at the start that depth is being flattened.

The run time depends on the machine: `python tools/benchmark.py train --preset vits`.
"""

import dataclasses

from endodav_jax.config import base_config
from endodav_jax.training import published_runs

STEPS = 5000


def get_config():
    """Returns the configuration; data and weights must be set by the caller."""
    sections = published_runs.endodav("vits")
    objective = dataclasses.replace(sections["train"].objective, highlight_threshold=0.98)
    sections["train"] = dataclasses.replace(sections["train"], steps=STEPS, schedule="constant", objective=objective)
    sections["data"] = dataclasses.replace(sections["data"], frame_max_interval=3)
    return base_config(**sections)
