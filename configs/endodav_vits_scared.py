"""EndoDAV with the small ViT-S backbone on SCARED: for machines with less memory.


python -m endodav_jax.main --config configs/endodav_vits_scared.py --workdir runs/endodav_vits
"""

from endodav_jax.config import base_config
from endodav_jax.models.config import DepthModelConfig


def get_config():
    return base_config(job="describe", model=DepthModelConfig.endodav("vits"))
