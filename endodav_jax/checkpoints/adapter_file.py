"""What fine-tuning added to a public network, as a small safetensors file that anyone can apply to that network.

The file contains only the trained tensors, with PyTorch's names, so `load_state_dict(..., strict=False)` accepts it.
Its metadata describe the resulting network and, by a digest, the frozen weights it was trained on.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from flax import traverse_util
from safetensors.numpy import save_file

from endodav_jax.checkpoints.card import Card, config_from_json
from endodav_jax.conversion.names import params_from_torch, torch_from_params
from endodav_jax.conversion.published_files import refuse_non_finite
from endodav_jax.conversion.weights_file import WeightsFile, read_weights_file
from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of_weights, whole_file
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.groups import GROUPS, group_of
from endodav_jax.models.registry import NO_ADAPTER
from endodav_jax.version import __version__

KIND = "endodav_jax adapter"


def is_adapter(file: WeightsFile) -> bool:
    """Whether a safetensors file was written by `save_adapter`."""
    return file.metadata.get("kind") == KIND


def save_adapter(
    path: Path | str, config: DepthModelConfig, params: dict, card: Card, overwrite: bool = False
) -> dict[str, np.ndarray]:
    """Writes the trained tensors of a depth network (766 kB for vitb with SSB); returns them by PyTorch name.

    Args:
      path: ends in `.safetensors`.
      config: configuration of the network.
      params: nested dict of the depth network's arrays.
      card: describes the network; `sources` name the weights it was trained on.
      overwrite: replace an existing file.

    Raises:
      UserError: nothing in the network is trained, the name has another suffix, or the file exists or cannot be
        written.
    """
    if Path(path).suffix != ".safetensors":
        raise UserError(f"{path}: an adapter is written as a file; give it the suffix .safetensors")
    trained, frozen = _split(params, config)
    if config.adapter == NO_ADAPTER:
        raise UserError(f"{path}: the network has no adapter; export the whole network instead (--what merged)")
    metadata = {
        "kind": KIND,
        "package_version": __version__,
        "model": json.dumps(dataclasses.asdict(config)),
        "card": json.dumps(dataclasses.asdict(card)),
        "base_digest": sha256_of_weights(frozen),
    }
    with whole_file(path, overwrite) as part:
        save_file(trained, part, metadata)
    return trained


def apply_adapter(config: DepthModelConfig, params: dict, path: Path | str) -> tuple[DepthModelConfig, dict, Card]:
    """Adds an adapter file to the network it was trained on.

    Args:
      config: of the base network.
      params: nested dict of its arrays.
      path: a file written by `save_adapter`.

    Returns:
      Configuration and arrays of the adapted network, and its card.

    Raises:
      UserError: not an adapter file, or one that was trained on other weights.
    """
    file = read_weights_file(path)
    if not is_adapter(file):
        raise UserError(f"{path}: not an adapter file; make one with `endodav export --what adapter`")
    refuse_non_finite(file)
    try:
        adapted = config_from_json(json.loads(file.metadata["model"]))
        card = Card.from_json(json.loads(file.metadata["card"]))
        digest = file.metadata["base_digest"]
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: its metadata are damaged ({error}); copy it again") from error
    if adapted.preset != config.preset:
        raise UserError(f"{path}: was trained on {adapted.preset}, and the weights given are {config.preset}")
    _, frozen = _split(params, config)
    if sha256_of_weights(frozen) != digest:
        sources = ", ".join(card.sources) or "other weights"
        raise UserError(f"{path}: was trained on {sources}, whose numbers differ from the weights given")
    return adapted, params_from_torch(frozen | file.tensors, adapted, str(path)), card


def _split(params: dict, config: DepthModelConfig) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Splits tensors into those in an adapter file, which are all that training can change, and the others."""
    leaves = traverse_util.flatten_dict(params)
    trained = {path: leaf for path, leaf in leaves.items() if GROUPS[group_of(path)].exported}
    frozen = {path: leaf for path, leaf in leaves.items() if path not in trained}
    trained_state, frozen_state = (
        torch_from_params(traverse_util.unflatten_dict(part), config) for part in (trained, frozen)
    )
    return trained_state, frozen_state
