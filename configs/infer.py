"""Depth from a video with depth-aligned inference, like `endodav infer`, from a configuration.

    python -m endodav_jax.main --config infer --config.weights=weights/vda_vits \\
        --config.infer.input=video.mp4 --workdir out

The weights are a folder written by `endodav convert`, whose card describes the network.  Windows of 32 frames are
aligned by EndoDAV's rule; outputs: videos of the source, of the depth and of both, `_depths.npz` and
`_meta.json`.  Every field of `endodav_jax/depth_video/config.py` can be set: `--config.infer.windows=vda`,
`"--config.infer.save=('npz', 'exr')"`, `--config.infer.stereo=top`.
"""

from endodav_jax.config import base_config


def get_config():
    """Returns the defaults; input and weights must be set by the caller."""
    return base_config(job="infer")
