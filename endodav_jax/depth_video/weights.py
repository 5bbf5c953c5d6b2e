"""The estimator that `infer` and `stream` use, from the weights that the user names."""

import os
import sys
from typing import TYPE_CHECKING, Literal

from endodav_jax.errors import UserError
from endodav_jax.models.config import OutputKind, Precision

if TYPE_CHECKING:
    from endodav_jax.checkpoints import Card
    from endodav_jax.inference.estimator import DepthEstimator

NOTHING_NAMED = (
    "no --weights given: using the small network that comes with the package, trained on rendered scenes alone; "
    "published weights are far better: endodav convert video_depth_anything_vits.pth weights/vda_vits"
)


def load_estimator(
    weights: str, encoder: str, precision: Precision, output_kind: OutputKind | Literal[""] = ""
) -> "tuple[DepthEstimator, Card]":
    """Returns the estimator of a converted checkpoint's folder, and the card of its weights; see `load_networks`."""
    estimator, _, card = load_networks(weights, encoder, precision, output_kind)
    return estimator, card


def load_networks(
    weights: str, encoder: str, precision: Precision, output_kind: OutputKind | Literal[""] = ""
) -> "tuple[DepthEstimator, dict[str, dict], Card]":
    """Returns the estimator of a converted checkpoint's folder, the weights of all its networks, and their card.

    JAX is imported here and not before, so that mistakes in everything else are told at once.

    Args:
      weights: the folder; empty for the weights that come with the package, which is said.
      encoder: the preset that is wanted; empty is any.
      precision: of activations.
      output_kind: what the output is; empty for what the weights' card or name says.

    Raises:
      UserError: weights that are missing or do not fit, or another preset than wanted.
    """
    import jax

    from endodav_jax.checkpoints import load_model
    from endodav_jax.checkpoints.shipped import SHIPPED
    from endodav_jax.inference.estimator import DepthEstimator

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # a backend without its plugin fails an assertion
        named = os.environ.get("JAX_PLATFORMS")
        raise UserError(
            f"JAX_PLATFORMS={named}: there is no such device for JAX here; unset it, or install JAX for it: "
            "pip install 'endodav-jax[cuda13]'"
            if named
            else f"JAX finds no device ({' '.join(str(error).split())[:120]}); set JAX_PLATFORMS=cpu"
        ) from error
    if not weights:
        print(NOTHING_NAMED, file=sys.stderr)
        weights = SHIPPED
    config, params, card = load_model(weights, output=output_kind or None)
    if encoder and config.preset != encoder:
        raise UserError(
            f"--encoder {encoder}: the weights in {weights} are {config.preset}; leave --encoder out, or name weights "
            f"of {encoder}"
        )
    return DepthEstimator(config, params["depth"], precision), params, card
