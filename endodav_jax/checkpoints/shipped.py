"""The weights shipped with the package, and the names that refer to them wherever weights are named.

Networks are safetensors files in half precision, with their card in the file header; an adapter goes on top of one.
"""

import dataclasses
import json
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import safetensors
from flax import traverse_util
from safetensors.numpy import save_file

from endodav_jax.checkpoints.card import Card, config_from_json
from endodav_jax.checkpoints.mixture import Mixture
from endodav_jax.checkpoints.store import load_checkpoint, with_list_indices
from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of, sha256_of_text, whole_file
from endodav_jax.models.config import DepthModelConfig


@dataclasses.dataclass(frozen=True)
class ShippedFiles:
    """The files of shipped weights; what a later one has replaces what an earlier one has.

    Attributes:
      networks: files of networks.
      adapter: an adapter of the depth network, trained without labels; empty for none.
      mixture: of the depth networks of the last file and the first; None to take that of the last file.
    """

    networks: tuple[str, ...]
    adapter: str = ""
    mixture: Mixture | None = None


_PHANTOM = "phantom_vitt.safetensors"
_VARIED = "varied_vitt.safetensors"

SHIPPED = "shipped"  # what the study starts from
VARIED = "shipped-varied"  # a depth network pretrained longer, under other lamps and lenses
MIXED = "shipped-mixed"  # that network, gone on in part in the direction of its training
WITHOUT_WEIGHTS = MIXED  # what inference uses if no weights are named: the best on real video (docs/benchmarks.md)

# Found on real frames (docs/experiments.md, "Weights mixed part by part").
_MIXTURE = Mixture(
    share={
        "encoder": 0.07,
        "head": -0.03,
        "head.fusions.3": -0.25,
        "head.fusions.2": -0.15,
        "head.motion_modules": 0.0,
    },
    scale={f"head.motion_modules.{place}.proj_out": 1.25 for place in range(4)},
    add={"head.output.conv3.bias": 0.08},
)

SHIPPED_WEIGHTS: Mapping[str, ShippedFiles] = {
    SHIPPED: ShippedFiles((_PHANTOM,)),
    VARIED: ShippedFiles((_PHANTOM, _VARIED)),
    MIXED: ShippedFiles((_PHANTOM, _VARIED), mixture=_MIXTURE),
    "shipped-organ": ShippedFiles((_PHANTOM,), "organ_adapter.safetensors"),
}


def load_shipped(name: str = SHIPPED) -> tuple[DepthModelConfig, dict[str, dict], Card]:
    """Reads the networks of shipped weights, without their adapter, as `read_packed` does.

    Args:
      name: a name of `SHIPPED_WEIGHTS`.

    Raises:
      UserError: the installation lacks a file.
    """
    *others, last = SHIPPED_WEIGHTS[name].networks
    config, networks, card = read_packed(_installed(last))
    for file in reversed(others):
        networks |= read_packed(_installed(file), without=networks)[1]
    mixture = SHIPPED_WEIGHTS[name].mixture
    if mixture:
        first = read_packed(_installed(others[0]), without=networks.keys() - {"depth"})[1]["depth"]
        networks["depth"] = mixture.of(networks["depth"], first)
        note = f"then mixed, part by part, with the weights named {SHIPPED}: {json.dumps(dataclasses.asdict(mixture))}"
        card = dataclasses.replace(card, notes=(*card.notes, note))
    return config, networks, card


def shipped_adapter(name: str) -> Path | None:
    """Returns the adapter file of shipped weights; None for those without one.

    Args:
      name: a name of `SHIPPED_WEIGHTS`.

    Raises:
      UserError: the installation lacks the file.
    """
    return _installed(SHIPPED_WEIGHTS[name].adapter) if SHIPPED_WEIGHTS[name].adapter else None


def sha256_of_shipped(name: str = SHIPPED) -> str:
    """Returns a digest of what `load_shipped` reads; of one file, its SHA-256.

    Args:
      name: a name of `SHIPPED_WEIGHTS`.

    Raises:
      UserError: the installation lacks a file.
    """
    digests = [sha256_of(_installed(file)) for file in SHIPPED_WEIGHTS[name].networks]
    if SHIPPED_WEIGHTS[name].mixture:
        digests.append(repr(SHIPPED_WEIGHTS[name].mixture))
    return digests[0] if len(digests) == 1 else sha256_of_text(" ".join(digests))


def _installed(file: str) -> Path:
    path = Path(__file__).parent / file
    if not path.is_file():
        raise UserError(f"{path}: missing from the installation; reinstall the package, or give --weights")
    return path


def read_packed(path: Path, without: Collection[str] = ()) -> tuple[DepthModelConfig, dict[str, dict], Card]:
    """Returns the configuration of `depth`, network -> nested dict of float32 arrays, and the card.

    Args:
      path: a file written by `pack`.
      without: names of networks that are not read.
    """
    with safetensors.safe_open(path, framework="numpy") as stored:
        about = json.loads(stored.metadata()["about"])
        wanted = [name for name in stored.keys() if name.split(".")[0] not in without]  # noqa: SIM118
        leaves = {name: stored.get_tensor(name).astype(np.float32) for name in wanted}
    params = with_list_indices(traverse_util.unflatten_dict(leaves, sep="."))
    return config_from_json(about["config"]), params, Card.from_json(about["card"])


def pack(checkpoint: Path, file: Path, notes: tuple[str, ...] = (), networks: Collection[str] = ()) -> None:
    """Writes the networks of a checkpoint as such a file.

    Args:
      checkpoint: a folder written by `save_model` with a depth network.
      file: the file to write; replaced if it exists.
      notes: added to the card.
      networks: which of them; empty for all.

    Raises:
      UserError: the checkpoint is missing or damaged, or lacks one of the networks.
    """
    config, params, card = load_checkpoint(checkpoint)
    if config is None:
        raise UserError(f"{checkpoint}: contains no depth network")
    missing = sorted(set(networks) - params.keys())
    if missing:
        raise UserError(f"{checkpoint}: has no {missing[0]}; it has {', '.join(params)}")
    params = {name: params[name] for name in networks or params}
    card = dataclasses.replace(card, notes=(*card.notes, *notes))
    about = {"config": dataclasses.asdict(config), "card": dataclasses.asdict(card)}
    leaves = {
        ".".join(map(str, path)): np.ascontiguousarray(leaf, np.float16)
        for path, leaf in traverse_util.flatten_dict(params).items()
    }
    with whole_file(file, overwrite=True) as part:
        save_file(leaves, part, {"about": json.dumps(about)})
