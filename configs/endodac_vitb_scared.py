"""EndoDAC with the ViT-B backbone on SCARED, the frame-by-frame predecessor, to compare with.

DV-LoRA of rank 4 on the encoder's feed-forward layers, residual blocks and four depth heads trained: 1,667,076 of
99,091,748 parameters.

    python -m endodav_jax.main --config configs/endodac_vitb_scared.py --workdir runs/endodac_vitb
"""

from endodav_jax.config import base_config
from endodav_jax.models.config import DepthModelConfig


def get_config():
    return base_config(job="describe", model=DepthModelConfig.endodac("vitb"))
