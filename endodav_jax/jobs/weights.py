"""The estimator that `infer` and `stream` use, from the weights that the user names."""

import endodav_jax
from endodav_jax.errors import UserError

HOW_TO_GET_WEIGHTS = (
    "--weights: none given; convert published ones first: "
    "endodav convert video_depth_anything_vits.pth -o weights/vda_vits"
)


def load_estimator(weights: str, encoder: str, precision: str):
    """Returns the `DepthEstimator` of a converted checkpoint's folder.

    Args:
      weights: the folder.
      encoder: the preset that is wanted; empty is any.
      precision: of activations.

    Raises:
      UserError: no weights, weights that do not fit, or another preset than wanted.
    """
    if not weights:
        raise UserError(HOW_TO_GET_WEIGHTS)
    estimator = endodav_jax.load(weights, precision=precision)
    if encoder and estimator.config.preset != encoder:
        raise UserError(
            f"--encoder {encoder}: the weights in {weights} are {estimator.config.preset}; leave --encoder out, or "
            f"name weights of {encoder}"
        )
    return estimator
