"""EndoDAV with the ViT-B backbone on SCARED: the published configuration.

SSB vectors on the feed-forward layers of encoder and motion modules, output convolutions trained: 191,489 of
114,540,609 parameters (0.17%).

    python -m endodav_jax.main --config configs/endodav_vitb_scared.py --workdir runs/endodav_vitb
"""

from endodav_jax.config import base_config
from endodav_jax.models.config import DepthModelConfig


def get_config():
    return base_config(job="describe", model=DepthModelConfig.endodav("vitb"))
