"""The depth of a video that is to be shown."""

from pathlib import Path

from endodav_jax.depth_video.config import InferConfig
from endodav_jax.depth_video.run import infer
from endodav_jax.viewer.recording import LARGEST_SIDE


def infer_for_page(video: Path, folder: Path, weights: str) -> None:
    """Writes into `folder` what a page needs.

    Raises:
      UserError: the video cannot be read.
    """
    config = InferConfig(input=str(video), videos=("src",), save=("npz",), max_res=LARGEST_SIDE, quiet=True)
    infer(config, folder, weights)
