"""What fine-tuning added to a public network, as a small safetensors file that anyone can apply to that network.

The file holds the trained tensors alone, under PyTorch's names, so `load_state_dict(..., strict=False)` takes it too.
Its metadata say which network results and, by a digest, which frozen weights it was trained on.
"""

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from endodav_jax import __version__
from endodav_jax.checkpoints.card import Card, config_from_json
from endodav_jax.conversion.names import params_from_torch, torch_from_params
from endodav_jax.conversion.weights_file import WeightsFile, read_weights_file
from endodav_jax.errors import UserError
from endodav_jax.files import whole_file
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.registry import NO_ADAPTER

KIND = "endodav_jax adapter"
# Adapters, EndoDAC's residual blocks, and the output convolutions or heads: all that the published programs train.
_TRAINED = re.compile(r".*\.(lora_[ABUV]|residual_\..*|output_conv\d\..*|conv_depth_\d\..*)$")


def is_adapter(file: WeightsFile) -> bool:
    """Whether a safetensors file was written by `save_adapter`."""
    return file.metadata.get("kind") == KIND


def save_adapter(
    path: Path | str, config: DepthModelConfig, params: dict, card: Card, overwrite: bool = False
) -> dict[str, np.ndarray]:
    """Writes the trained tensors of a depth network (766 kB for vitb with SSB); returns them by PyTorch name.

    Args:
      path: ends in `.safetensors`.
      config: of the network.
      params: nested dict of the depth network's arrays.
      card: what the network is; `sources` name the weights it was trained on.
      overwrite: replace an older file.

    Raises:
      UserError: nothing in the network is trained, or the file exists or cannot be written.
    """
    state = torch_from_params(params, config)
    trained = {name: value for name, value in state.items() if _TRAINED.match(name)}
    if config.adapter == NO_ADAPTER:
        raise UserError(f"{path}: the network has no adapter; export the whole network instead (--what merged)")
    metadata = {
        "kind": KIND,
        "package_version": __version__,
        "model": json.dumps(dataclasses.asdict(config)),
        "card": json.dumps(dataclasses.asdict(card)),
        "base_digest": _digest(state, set(state) - set(trained)),
    }
    with whole_file(path, overwrite) as part:
        save_file(trained, part, metadata)
    return trained


def apply_adapter(config: DepthModelConfig, params: dict, path: Path | str) -> tuple[DepthModelConfig, dict, Card]:
    """Adds an adapter file to the network it was trained on.

    Args:
      config: of the base network.
      params: nested dict of its arrays.
      path: a file of `save_adapter`.

    Returns:
      Configuration and arrays of the adapted network, and its card.

    Raises:
      UserError: no adapter file, or one that was trained on other weights.
    """
    file = read_weights_file(path)
    if not is_adapter(file):
        raise UserError(f"{path}: is no adapter file; make one with `endodav export --what adapter`")
    try:
        adapted = config_from_json(json.loads(file.metadata["model"]))
        card = Card.from_json(json.loads(file.metadata["card"]))
        digest = file.metadata["base_digest"]
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: its metadata are damaged ({error}); copy it again") from error
    if adapted.preset != config.preset:
        raise UserError(f"{path}: was trained on {adapted.preset}, and the weights given are {config.preset}")
    base = torch_from_params(params, config)
    frozen = {name: value for name, value in base.items() if not _TRAINED.match(name)}
    if _digest(frozen, set(frozen)) != digest:
        sources = ", ".join(card.sources) or "other weights"
        raise UserError(f"{path}: was trained on {sources}, whose numbers differ from the weights given")
    return adapted, params_from_torch(frozen | file.tensors, adapted, str(path)), card


def _digest(state: dict[str, np.ndarray], names: set[str]) -> str:
    """SHA-256 over names, shapes and little-endian bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(names):
        array = np.ascontiguousarray(state[name], np.dtype("<f4"))
        digest.update(f"{name} {array.shape}\n".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()
