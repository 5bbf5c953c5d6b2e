"""Depth for endoscopic video in JAX and Flax: EndoDAV, EndoDAC and Video-Depth-Anything.

    model = endodav_jax.load("checkpoints/endodav_vitb")
    disparity = model.infer(frames)  # uint8 [N, H, W, 3] -> float32 [N, H, W]

Importing the package is quick: JAX is imported when a network is first asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from endodav_jax.inference.estimator import DepthEstimator
    from endodav_jax.models.config import Precision

__version__ = "0.1.0"
__all__ = ["DepthEstimator", "load"]


def load(path, precision: "Precision | None" = None) -> "DepthEstimator":
    """The network of a checkpoint, ready for videos.

    Args:
      path: a folder that `endodav convert` or training wrote, or published weights (`.pth`, `.safetensors`, a training
        folder), which are converted in memory.
      precision: `float32` or `bfloat16`, in place of the checkpoint's own.

    Raises:
      UserError: no checkpoint there, or one that is damaged.
    """
    from endodav_jax.checkpoints import load_model
    from endodav_jax.inference.estimator import DepthEstimator

    config, params, _ = load_model(path)
    return DepthEstimator(config, params["depth"], precision)


def __getattr__(name: str):
    if name == "DepthEstimator":
        from endodav_jax.inference.estimator import DepthEstimator

        return DepthEstimator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
