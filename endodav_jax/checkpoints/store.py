"""Network weights as a folder: an Orbax tree in `weights/` and `card.json` beside it."""

import json
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import safetensors
from safetensors.numpy import save_file

from endodav_jax.checkpoints.card import CARD_NAME, Card, Manifest
from endodav_jax.conversion.published_files import Origin
from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of, whole_file
from endodav_jax.models.config import DepthModelConfig

MODEL_FOLDER = "model"  # in the folder of a training run: the trained networks
WEIGHTS_FOLDER = "weights"
ORIGIN_NAME = "origin.safetensors"  # everything in the source files of a conversion besides parameters


def is_checkpoint(path: Path | str) -> bool:
    """Whether `path` is a folder written by `save_model`."""
    return (Path(path) / CARD_NAME).is_file()


def save_model(
    folder: Path | str,
    config: DepthModelConfig | None,
    params: dict[str, dict],
    card: Card,
    overwrite: bool = False,
    origin: Origin | None = None,
) -> None:
    """Writes the weights of networks; the folder gets its name once it is complete, or does not appear at all.

    Args:
      folder: the folder to write.
      config: of the network `depth`; None if there is none.
      params: network (`depth`, `pose`, ...) -> pure nested dict of arrays, as returned by `nnx.to_pure_dict`.
      card: describes the weights.
      overwrite: replace an existing checkpoint.
      origin: of a conversion, so that the original files can be restored exactly.

    Raises:
      UserError: the folder exists, is not a checkpoint, or cannot be written.
    """
    host = jax.tree.map(np.asarray, params)
    sizes = {name: sum(leaf.size for leaf in jax.tree.leaves(tree)) for name, tree in host.items()}
    folder = Path(folder).absolute()
    if folder.exists() and not is_checkpoint(folder) and (folder.is_file() or any(folder.iterdir())):
        raise UserError(f"{folder}: already exists and is not a checkpoint; choose another name")
    with whole_file(folder, overwrite) as part:
        part.mkdir()
        with _checkpointer() as checkpointer:
            checkpointer.save(part / WEIGHTS_FOLDER, host)
        if origin is not None:
            tensors = {f"{file}/{name}": a for file, kept in origin.tensors.items() for name, a in kept.items()}
            save_file(tensors, part / ORIGIN_NAME, {"order": json.dumps(origin.order)})
        files = sorted(path for path in part.rglob("*") if path.is_file())
        digests = {path.relative_to(part).as_posix(): sha256_of(path) for path in files}
        Manifest(card, config, sizes, digests).write(part / CARD_NAME)


def read_card(folder: Path | str) -> Card:
    """Returns the card of a folder written by `save_model`, without checking the weights beside it.

    Raises:
      UserError: the card is missing, damaged or from a newer version.
    """
    return Manifest.read(Path(folder) / CARD_NAME).card


def load_checkpoint(folder: Path | str) -> tuple[DepthModelConfig | None, dict[str, dict], Card]:
    """Reads a folder written by `save_model`: configuration, network -> nested dict of NumPy arrays, card.

    Arrays are returned on the host, whatever devices they were on when they were written.

    Raises:
      UserError: missing, not a checkpoint, damaged (even by a single flipped bit), or from a newer version.
    """
    folder = Path(folder)
    if not folder.exists():
        raise UserError(f"{folder}: no such checkpoint; make one with `endodav convert`")
    if not is_checkpoint(folder):
        raise UserError(f"{folder}: not a checkpoint (no {CARD_NAME} in it); make one with `endodav convert`")
    manifest = Manifest.read(folder / CARD_NAME)
    damaged = f"; {folder} is damaged: convert or copy it again"
    # Orbax detects missing bytes but not changed ones, so every file is compared with the card before it is read.
    for name, digest in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: missing{damaged}")
        try:
            same = sha256_of(path) == digest
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
        if not same:
            raise UserError(f"{path}: differs from what was written{damaged}")
    weights = (folder / WEIGHTS_FOLDER).absolute()
    try:
        with _checkpointer() as checkpointer:
            stored = checkpointer.metadata(weights).item_metadata.tree
            # Host arrays: the devices it was written on may not exist here.
            restore_args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), stored)
            params = checkpointer.restore(weights, args=ocp.args.PyTreeRestore(restore_args=restore_args))
    except Exception as error:  # Orbax and TensorStore raise bare Exceptions and a dozen other kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{weights}: cannot be restored ({reason}){damaged}") from error
    return manifest.config, with_list_indices(params), manifest.card


def _checkpointer() -> ocp.Checkpointer:
    """One that waits for no other process: which of them writes or reads a network is the caller's choice."""
    here = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=here, active_processes={here}, barrier_sync_key_prefix=f"endodav_jax_{here}"
    )
    return ocp.Checkpointer(ocp.PyTreeCheckpointHandler(multiprocessing_options=alone), multiprocessing_options=alone)


def with_list_indices(tree):
    """Converts keys such as "0" back to the integers used by `nnx.to_pure_dict` for lists; Orbax keeps strings."""
    if not isinstance(tree, dict):
        return tree
    return {int(k) if str(k).isdecimal() else k: with_list_indices(v) for k, v in tree.items()}


def load_origin(folder: Path | str) -> Origin | None:
    """Returns what a conversion kept besides the parameters; None for weights that were trained here.

    Raises:
      UserError: the file is damaged.
    """
    path = Path(folder) / ORIGIN_NAME
    if not path.is_file():
        return None
    tensors: dict[str, dict[str, np.ndarray]] = {}
    try:
        with safetensors.safe_open(path, framework="numpy") as stored:
            order = json.loads(stored.metadata()["order"])
            for key in stored.keys():  # noqa: SIM118 (the file is no mapping)
                file, name = key.split("/", 1)
                tensors.setdefault(file, {})[name] = stored.get_tensor(key)
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: is damaged; convert or copy {folder} again") from error
    return Origin(order, tensors)
