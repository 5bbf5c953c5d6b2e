"""The weights shipped with the package, and the names that refer to them wherever weights are named.

`SHIPPED` is one safetensors file in half precision, with its card in the file header, trained with
`configs/pretrain_phantom.py`.  The other names are the same networks with an adapter file.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
from flax import traverse_util
from safetensors.numpy import save_file

from endodav_jax.checkpoints.card import Card, config_from_json
from endodav_jax.checkpoints.store import load_checkpoint, with_list_indices
from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of, whole_file
from endodav_jax.models.config import DepthModelConfig

SHIPPED = "shipped"
# Names of shipped weights -> adapter file, trained without labels (docs/benchmarks.md); empty for none.
SHIPPED_WEIGHTS: Mapping[str, str] = {SHIPPED: "", "shipped-organ": "organ_adapter.safetensors"}
_FILE = "phantom_vitt.safetensors"


def load_shipped() -> tuple[DepthModelConfig, dict[str, dict], Card]:
    """Reads the networks named `SHIPPED`, as `read_packed` does.

    Raises:
      UserError: the installation lacks the file.
    """
    return read_packed(_installed(_FILE))


def shipped_adapter(name: str) -> Path | None:
    """Returns the adapter file of shipped weights; None for those without one.

    Args:
      name: a name of `SHIPPED_WEIGHTS`.

    Raises:
      UserError: the installation lacks the file.
    """
    return _installed(SHIPPED_WEIGHTS[name]) if SHIPPED_WEIGHTS[name] else None


def sha256_of_shipped() -> str:
    """Returns the SHA-256 of the file that `load_shipped` reads.

    Raises:
      UserError: the installation lacks the file.
    """
    return sha256_of(_installed(_FILE))


def _installed(file: str) -> Path:
    path = Path(__file__).parent / file
    if not path.is_file():
        raise UserError(f"{path}: missing from the installation; reinstall the package, or give --weights")
    return path


def read_packed(path: Path) -> tuple[DepthModelConfig, dict[str, dict], Card]:
    """Returns the configuration of `depth`, network -> nested dict of float32 arrays, and the card."""
    with safetensors.safe_open(path, framework="numpy") as stored:
        about = json.loads(stored.metadata()["about"])
        leaves = {name: stored.get_tensor(name).astype(np.float32) for name in stored.keys()}  # noqa: SIM118
    params = with_list_indices(traverse_util.unflatten_dict(leaves, sep="."))
    return config_from_json(about["config"]), params, Card.from_json(about["card"])


def pack(checkpoint: Path, file: Path, notes: tuple[str, ...] = ()) -> None:
    """Writes the networks of a checkpoint as such a file.

    Args:
      checkpoint: a folder written by `save_model` with a depth network.
      file: the file to write; replaced if it exists.
      notes: added to the card.

    Raises:
      UserError: the checkpoint is missing or damaged.
    """
    config, params, card = load_checkpoint(checkpoint)
    if config is None:
        raise UserError(f"{checkpoint}: contains no depth network")
    card = dataclasses.replace(card, notes=(*card.notes, *notes))
    about = {"config": dataclasses.asdict(config), "card": dataclasses.asdict(card)}
    leaves = {
        ".".join(map(str, path)): np.ascontiguousarray(leaf, np.float16)
        for path, leaf in traverse_util.flatten_dict(params).items()
    }
    with whole_file(file, overwrite=True) as part:
        save_file(leaves, part, {"about": json.dumps(about)})
