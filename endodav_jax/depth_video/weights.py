"""The estimator that `infer` and `stream` use, from the weights that the user names."""

import dataclasses
import functools
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from endodav_jax.depth_video.config import ReadingConfig, StreamConfig
from endodav_jax.errors import UserError

if TYPE_CHECKING:
    from endodav_jax.checkpoints import Card
    from endodav_jax.inference.estimator import DepthEstimator

NOTHING_NAMED = (
    "no --weights given: using shipped-mixed, the small network that comes with the package, trained on rendered "
    "scenes only; published weights saw far more: endodav weights get vda-small, and endodav convert"
)


class NamedWeights(NamedTuple):
    """Weights as the user names them, and what they were at the time.

    Attributes:
      name: of the default ones where the user names none.
      sha256: see `sha256_of_source`.
    """

    name: str
    sha256: str

    @classmethod
    def of(cls, name: str) -> "NamedWeights":
        """Takes what the user names, possibly nothing; raises `UserError` if a file cannot be read."""
        from endodav_jax.checkpoints.shipped import WITHOUT_WEIGHTS
        from endodav_jax.checkpoints.transfer import sha256_of_source

        name = name or WITHOUT_WEIGHTS
        return cls(name, sha256_of_source(name))


def load_estimator(weights: str, config: ReadingConfig) -> "tuple[DepthEstimator, Card]":
    """Returns the estimator for a checkpoint folder and the card of its weights; see `load_networks`."""
    estimator, _, card = load_networks(weights, config)
    return estimator, card


def load_networks(weights: str, config: ReadingConfig) -> "tuple[DepthEstimator, dict[str, dict], Card]":
    """Returns the estimator for a checkpoint folder, the weights of all its networks, and their card.

    Args:
      weights: the folder; empty for the weights shipped with the package (reported).
      config: encoder, precision, output kind, runtime (the choice of `auto` is reported), and whether to be quiet.

    Raises:
      UserError: weights that are missing or do not fit, an unexpected preset, or a runtime that is not installed.
    """
    import jax

    from endodav_jax.checkpoints import load_model
    from endodav_jax.checkpoints.shipped import WITHOUT_WEIGHTS
    from endodav_jax.inference.estimator import DepthEstimator

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # a backend without its plugin fails an assertion
        named = os.environ.get("JAX_PLATFORMS")
        raise UserError(
            f"JAX_PLATFORMS={named}: JAX has no such device here; unset it, or install JAX for it: "
            "pip install 'endodav-jax[cuda13]'"
            if named
            else f"JAX finds no device ({' '.join(str(error).split())[:120]}); set JAX_PLATFORMS=cpu"
        ) from error
    if not weights:
        if not config.quiet:
            print(NOTHING_NAMED, file=sys.stderr)
        weights = WITHOUT_WEIGHTS
    model, params, card = load_model(weights, output=config.output_kind or None)
    if config.encoder and model.preset != config.encoder:
        raise UserError(
            f"--encoder {config.encoder}: the weights in {weights} are {model.preset}; omit --encoder, or name "
            f"weights of {config.encoder}"
        )
    from endodav_jax.runtimes.exported import silent
    from endodav_jax.runtimes.networks import Use, network_for

    use: Use = "stream" if isinstance(config, StreamConfig) else "video"
    tell = silent if config.quiet else functools.partial(print, file=sys.stderr)
    network, chosen = network_for(model, params.pop("depth"), config, use, tell)
    if config.runtime != "jax":
        tell(chosen)
        card = dataclasses.replace(card, notes=(*card.notes, chosen))
    return DepthEstimator.of(network, card), params, card
