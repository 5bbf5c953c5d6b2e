"""EndoDAC with the ViT-B backbone on SCARED: the frame-by-frame predecessor, for comparison.

DV-LoRA of rank 4 on the encoder's feed-forward layers, residual blocks and four depth heads trained: 1,667,076 of
99,091,748 parameters.  Eight single frames at 256x320 per step; DV-LoRA's factors are trained for 20,000 steps, then
its vectors; Adam at 1e-4, and at 1e-5 after 10 of 20 epochs; learned intrinsics.  Starts from Depth Anything's ViT-B.

    endodav prepare scared DOWNLOAD data/scared
    endodav convert depth_anything_vitb14.pth weights/da_vitb
    python -m endodav_jax.main --config endodac_vitb_scared --workdir runs/endodac_vitb \\
        --config.weights=weights/da_vitb --config.data.path=data/scared \\
        --config.train.validation_path=data/scared

Published result on SCARED's test sequences, as EndoDAV's paper measures it: abs rel 0.201, RMSE 16.421 mm, delta 0.653,
TAE 2.69.  We have not yet run it on SCARED.
"""

from endodav_jax.config import base_config
from endodav_jax.training import published_runs


def get_config():
    """Returns the configuration; data and weights must be set by the caller."""
    return base_config(**published_runs.endodac("vitb"))
