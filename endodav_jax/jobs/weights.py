"""The estimator that `infer` and `stream` use, from the weights that the user names."""

from typing import TYPE_CHECKING

from endodav_jax.errors import UserError
from endodav_jax.models.config import Precision

if TYPE_CHECKING:
    from endodav_jax.checkpoints import Card
    from endodav_jax.inference.estimator import DepthEstimator

HOW_TO_GET_WEIGHTS = (
    "--weights: none given; convert published ones first: "
    "endodav convert video_depth_anything_vits.pth -o weights/vda_vits"
)


def load_estimator(weights: str, encoder: str, precision: Precision) -> "tuple[DepthEstimator, Card]":
    """Returns the estimator of a converted checkpoint's folder, and the card of its weights.

    JAX is imported here and not before, so that mistakes in everything else are told at once.

    Args:
      weights: the folder.
      encoder: the preset that is wanted; empty is any.
      precision: of activations.

    Raises:
      UserError: no weights, weights that do not fit, or another preset than wanted.
    """
    if not weights:
        raise UserError(HOW_TO_GET_WEIGHTS)
    from endodav_jax.checkpoints import load_model
    from endodav_jax.inference.estimator import DepthEstimator

    config, params, card = load_model(weights)
    if encoder and config.preset != encoder:
        raise UserError(
            f"--encoder {encoder}: the weights in {weights} are {config.preset}; leave --encoder out, or name weights "
            f"of {encoder}"
        )
    return DepthEstimator(config, params["depth"], precision), card
