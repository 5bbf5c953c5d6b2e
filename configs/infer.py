"""Depth of a video with depth-aligned inference, as `endodav infer` does it, from a configuration.

    python -m endodav_jax.main --config infer --config.weights=weights/vda_vits \\
        --config.infer.input=video.mp4 --workdir out

The weights are a folder that `endodav convert` wrote; what the network is, its card says.  Windows of 32 frames,
tied together by EndoDAV's rule; outputs: videos of the source, of the depth and of both, `_depths.npz` and
`_meta.json`.  Every field of `endodav_jax/depth_video/config.py` can be set: `--config.infer.windows=vda`,
`"--config.infer.save=('npz', 'exr')"`, `--config.infer.stereo=top`.
"""

from endodav_jax.config import base_config


def get_config():
    """Every default; only the input and the weights are left to say."""
    return base_config(job="infer")
