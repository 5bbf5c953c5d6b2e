"""The conversion tool: published weights to a checkpoint folder, and weights back to PyTorch's names."""

import dataclasses
import json
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from safetensors.numpy import save_file

from endodav_jax.checkpoints.adapter_file import apply_adapter, is_adapter, save_adapter
from endodav_jax.checkpoints.card import CARD_NAME, Card, Manifest, licence_of
from endodav_jax.checkpoints.shipped import SHIPPED_WEIGHTS, load_shipped, sha256_of_shipped, shipped_adapter
from endodav_jax.checkpoints.store import MODEL_FOLDER, is_checkpoint, load_checkpoint, load_origin, save_model
from endodav_jax.choices import OutputKind
from endodav_jax.conversion.published_files import (
    DEPTH_FILE,
    OUTPUT_KEY,
    Origin,
    Published,
    published_state_dicts,
    read_published,
)
from endodav_jax.conversion.weights_file import SUFFIXES, read_weights_file
from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of, sha256_of_text, whole_file
from endodav_jax.models.build import abstract_params, merge_adapters
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.registry import NO_ADAPTER

Target = Literal["orbax", "safetensors"]
_SUFFIXES_OF_FILES = (*SUFFIXES, ".onnx")


@dataclasses.dataclass(frozen=True)
class Networks:
    """Weights from any source, with everything known about them.

    Attributes:
      config: of the depth network; None if there is none.
      params: network -> nested dict of arrays.
      card: describes the weights.
      origin: of published files; None for weights trained here.
    """

    config: DepthModelConfig | None
    params: dict[str, dict]
    card: Card
    origin: Origin | None


def load_networks(source: Path | str, family: str | None = None, output: OutputKind | None = None) -> Networks:
    """Reads a checkpoint folder, or converts published weights (a file or a folder) in memory.

    Args:
      source: the folder or file, or a name of weights shipped with the package (`shipped.SHIPPED_WEIGHTS`).  The
        folder of a training run refers to the network in it.
      family: resolves ambiguous published keys; see `conversion.recognise.recognise_depth`.
      output: what the depth network outputs, overriding its card or its file name.

    Raises:
      UserError: missing, damaged, or not the weights of a known network.
    """
    if str(source) in SHIPPED_WEIGHTS:
        return _with_output(_shipped_networks(str(source)), output)
    source = _place_of(source)
    if is_checkpoint(source):
        if family is not None:
            raise UserError(f"{source}: a checkpoint already states its family; omit --family")
        return _with_output(Networks(*load_checkpoint(source), load_origin(source)), output)
    if source.is_dir() and not any(path.stem == DEPTH_FILE for path in source.iterdir()):
        raise UserError(
            f"{source}: has neither {CARD_NAME} (a checkpoint of this package) nor {DEPTH_FILE}.pth (a training folder "
            "of EndoDAV or EndoDAC); name such a folder or a file of weights"
        )
    if source.suffix == ".safetensors" and source.is_file() and is_adapter(read_weights_file(source)):
        raise UserError(f"{source}: is an adapter; to apply it: endodav convert BASE OUT --adapter {source}")
    found = read_published(source, family, output)
    return Networks(found.config, found.params, card_of(found), found.origin)


def sha256_of_source(source: Path | str) -> str:
    """Returns a digest, in hexadecimal, that changes with the weights that `load_networks` would read.

    Of a checkpoint, only the card is read, which holds the digests of its files.

    Args:
      source: see `load_networks`; if there is nothing of that name, the digest is empty.

    Raises:
      UserError: a file or a card cannot be read.
    """
    if str(source) in SHIPPED_WEIGHTS:
        adapter = shipped_adapter(str(source))
        digests = {"networks": sha256_of_shipped(str(source)), "adapter": sha256_of(adapter) if adapter else ""}
        return sha256_of_text(json.dumps(digests, sort_keys=True))
    source = _place_of(source)
    if is_checkpoint(source):
        manifest = Manifest.read(source / CARD_NAME)
        config = None if manifest.config is None else dataclasses.asdict(manifest.config)
        return sha256_of_text(json.dumps({"files": manifest.files, "config": config}, sort_keys=True))
    try:
        folder = source.iterdir() if source.is_dir() else [source] if source.is_file() else []
        digests = {path.name: sha256_of(path) for path in folder if path == source or path.suffix in SUFFIXES}
    except OSError as error:
        raise UserError(f"{error.filename or source}: cannot be read ({error.strerror})") from error
    return sha256_of_text(json.dumps(digests, sort_keys=True)) if digests else ""


def _place_of(source: Path | str) -> Path:
    """The folder or file that is meant: the folder of a training run refers to the network in it."""
    source = Path(source)
    return source / MODEL_FOLDER if is_checkpoint(source / MODEL_FOLDER) else source


def _shipped_networks(name: str) -> Networks:
    config, params, card = load_shipped(name)
    adapter = shipped_adapter(name)
    if adapter is not None:
        config, depth, card = apply_adapter(config, params["depth"], adapter)
        params = params | {"depth": depth}
    return Networks(config, params, card, None)


def _with_output(found: Networks, output: OutputKind | None) -> Networks:
    """The networks, with the meaning of their output overridden."""
    if output is None or found.config is None or found.config.output == output:
        return found
    card = dataclasses.replace(found.card, notes=(*found.card.notes, f"its output is taken as {output}, as asked"))
    return dataclasses.replace(found, config=dataclasses.replace(found.config, output=output), card=card)


def load_model(
    path: Path | str, family: str | None = None, output: OutputKind | None = None
) -> tuple[DepthModelConfig, dict[str, dict], Card]:
    """Reads a depth network and the motion networks beside it.

    Args:
      path: a checkpoint folder, a name of shipped weights, or published weights: a `.pth`, `.pt` or `.safetensors` file
        or a folder of them, which are converted in memory.
      family: see `load_networks`.
      output: see `load_networks`.

    Returns:
      Configuration of the depth network; network (`depth`, and `pose`, `intrinsics`, `flow`, `transform` where the
      source has them) -> nested dict of float32 NumPy arrays; card.

    Raises:
      UserError: missing, damaged, or no depth network.
    """
    found = load_networks(path, family, output)
    if found.config is None:
        raise UserError(f"{path}: holds {found.card.what}, not a depth network")
    _refuse_other_shapes(Path(path), found)
    return found.config, found.params, found.card


def convert(
    source: Path | str,
    out: Path | str,
    to: Target = "orbax",
    family: str | None = None,
    adapter: Path | str | None = None,
    overwrite: bool = False,
    output: OutputKind | None = None,
) -> Card:
    """Converts weights of any source known here and writes them.

    Args:
      source: a checkpoint folder, or published weights (a file or a training folder).
      out: folder to write; with `to="safetensors"` a `.safetensors` file where there is one network only.
      to: `orbax`, a checkpoint folder; `safetensors`, PyTorch's names and layouts.
      family: see `load_networks`.
      adapter: an adapter file to add to the depth network first.
      overwrite: replace the result of an earlier conversion.
      output: see `load_networks`.

    Returns:
      The card of what was written.

    Raises:
      UserError: see `load_networks` and `save_model`; `out` has the suffix of something else.
    """
    _check_name(out, file=to == "safetensors")
    found = load_networks(source, family, output)
    if adapter is not None:
        if found.config is None:
            raise UserError(f"{source}: contains {found.card.what}, to which an adapter cannot be applied")
        config, depth, card = apply_adapter(found.config, found.params["depth"], adapter)
        found = _with_output(Networks(config, found.params | {"depth": depth}, card, None), output)
    if to == "orbax":
        save_model(out, found.config, found.params, found.card, overwrite, found.origin)
    else:
        write_safetensors(out, found, overwrite)
    return found.card


def export_adapter(source: Path | str, out: Path | str, overwrite: bool = False) -> None:
    """Writes the trained parameters of a depth network as an adapter file.

    Raises:
      UserError: see `load_model` and `save_adapter`.
    """
    config, params, card = load_model(source)
    save_adapter(out, config, params["depth"], card, overwrite)


def export_merged(source: Path | str, out: Path | str, overwrite: bool = False) -> None:
    """Writes a depth network with its adapters folded into the kernels: the same function as a plain network.

    Args:
      source: see `load_model`.
      out: a `.safetensors` file for PyTorch's names, otherwise a checkpoint folder.
      overwrite: replace an existing one.

    Raises:
      UserError: see `load_model` and `save_model`.
    """
    _check_name(out, file=True)
    config, params, card = load_model(source)
    plain, merged = merge_adapters(config, params["depth"])
    if config.adapter != NO_ADAPTER:
        card = dataclasses.replace(
            card, notes=(*card.notes, f"adapters ({config.adapter}) are folded into the kernels")
        )
    found = Networks(plain, {"depth": jax.tree.map(np.asarray, merged)}, card, None)
    if Path(out).suffix == ".safetensors":
        write_safetensors(out, found, overwrite)
    else:
        save_model(out, plain, found.params, card, overwrite)


def write_safetensors(out: Path | str, found: Networks, overwrite: bool = False) -> None:
    """Writes networks with PyTorch's names: one file, or a folder of `depth_model.safetensors` and its companions.

    Raises:
      UserError: several networks for one file, or the output exists or cannot be written.
    """
    out = Path(out)
    states = published_state_dicts(found.config, found.params, found.origin)
    one_file = out.suffix == ".safetensors"
    if one_file and len(states) > 1:
        raise UserError(f"{out}: there are {len(states)} networks ({', '.join(states)}); name a folder")
    if not one_file and out.exists() and (out.is_file() or any(p.suffix != ".safetensors" for p in out.iterdir())):
        raise UserError(f"{out}: already exists and is not a folder of safetensors files; choose another name")
    metadata = {"card": json.dumps(dataclasses.asdict(found.card))}
    metadata |= {name: str(value) for name, value in found.card.entries.items()}
    if found.config is not None and found.config.metric:
        metadata[OUTPUT_KEY] = found.config.output
    with whole_file(out, overwrite) as part:
        if one_file:
            save_file(_contiguous(*states.values()), part, metadata)
            return
        part.mkdir()
        for name, state in states.items():
            save_file(_contiguous(state), part / f"{name}.safetensors", metadata)


def _check_name(out: Path | str, file: bool) -> None:
    """Raises `UserError` if an output has a suffix of files and is no `.safetensors` file, where `file` allows one."""
    suffix = Path(out).suffix
    if suffix.lower() not in _SUFFIXES_OF_FILES or (file and suffix == ".safetensors"):
        return
    if file:
        raise UserError(f"{out}: no such files are written here; name a .safetensors file or a folder")
    cure = ", or add --to safetensors" if suffix == ".safetensors" else ""
    raise UserError(f"{out}: --to orbax writes a folder; give a name without {suffix}{cure}")


def card_of(found: Published) -> Card:
    """Returns the card of a conversion."""
    preset = found.config.preset if found.config is not None else ""
    return Card(found.what, licence_of(found.program, preset), found.sources, found.notes, found.entries)


def _refuse_other_shapes(path: Path, found: Networks) -> None:
    """Checks that weights fit their card; otherwise a mismatch would only show when the network runs."""
    config = found.config
    assert config is not None  # a folder's card always has one
    shapes, expected = (
        {jax.tree_util.keystr(key): leaf.shape for key, leaf in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (found.params.get("depth", {}), abstract_params(config))
    )
    wrong = sorted(key for key in shapes.keys() | expected.keys() if shapes.get(key) != expected.get(key))
    if wrong:
        raise UserError(
            f"{path}: its weights are not those of the network on its card ({len(wrong)} differ, the first "
            f"{wrong[0]}); convert or copy it again"
        )


def _contiguous(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays in contiguous memory, as required by safetensors."""
    return {name: np.asarray(value, order="C") for name, value in state.items()}
