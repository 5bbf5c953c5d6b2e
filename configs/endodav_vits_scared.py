"""EndoDAV with the small ViT-S backbone on SCARED: as `endodav_vitb_scared.py`, for machines with less memory.

    endodav prepare scared DOWNLOAD data/scared
    endodav convert video_depth_anything_vits.pth weights/vda_vits
    python -m endodav_jax.main --config endodav_vits_scared --workdir runs/endodav_vits \\
        --config.weights=weights/vda_vits --config.data.path=data/scared \\
        --config.train.validation_path=data/scared

The paper has no row for it.  Not run yet on SCARED by us.  `python tools/benchmark.py train --preset vits` says what a
step takes on your machine, in seconds and in memory.
"""

from endodav_jax.config import base_config
from endodav_jax.training import published_runs


def get_config():
    """Returns the configuration; the data and the weights are left to say."""
    return base_config(**published_runs.endodav("vits"))
