"""EndoDAV with the small ViT-S backbone on SCARED: as `endodav_vitb_scared.py`, for machines with less memory.

    endodav prepare scared DOWNLOAD data/scared
    endodav convert video_depth_anything_vits.pth weights/vda_vits
    python -m endodav_jax.main --config endodav_vits_scared --workdir runs/endodav_vits \\
        --config.weights=weights/vda_vits --config.data.path=data/scared \\
        --config.train.validation_path=data/scared

The paper has no row for it.  We have not yet run it on SCARED.
`python tools/benchmark.py train --preset vits` measures the time and memory of a step on your machine.
"""

from endodav_jax.config import base_config
from endodav_jax.training import published_runs


def get_config():
    """Returns the configuration; data and weights must be set by the caller."""
    return base_config(**published_runs.endodav("vits"))
