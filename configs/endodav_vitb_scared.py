"""EndoDAV with the ViT-B backbone on SCARED: the published configuration.

SSB vectors on the feed-forward layers of encoder and motion modules, output convolutions trained: 191,489 of
114,540,609 parameters (0.17%).  Clips of 16 frames at 256x320, one a step; 400 steps of the spatial adapters, then 100
of the temporal ones with the projection loss at 1e-2, alternating; Adam at 1e-4, and at 1e-5 after 10 of 20 epochs;
learned intrinsics; validation after each epoch.

    endodav prepare scared DOWNLOAD data/scared
    endodav convert video_depth_anything_vitb.pth weights/vda_vitb
    python -m endodav_jax.main --config endodav_vitb_scared --workdir runs/endodav_vitb \\
        --config.weights=weights/vda_vitb --config.data.path=data/scared \\
        --config.train.validation_path=data/scared

Published result on SCARED's test sequences: abs rel 0.156, RMSE 12.257 mm, delta 0.761, TAE 0.39.

We have not yet run it on SCARED, so its run time and result are not known.  On an accelerator add
`--config.model.precision=bfloat16 --config.train.precision=bfloat16`; for the motion networks' ImageNet weights
`--config.train.resnet_weights=FILE`.  On several hosts: `tools/cluster/README.md`.
"""

from endodav_jax.config import base_config
from endodav_jax.training import published_runs


def get_config():
    """Returns the configuration; data and weights must be set by the caller."""
    return base_config(**published_runs.endodav("vitb"))
