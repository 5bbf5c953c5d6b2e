"""`export_network`: exports a checkpoint to files for other runtimes."""

import dataclasses
from pathlib import Path

import jax
import numpy as np

from endodav_jax.checkpoints import load_model
from endodav_jax.checkpoints.card import Card
from endodav_jax.errors import UserError
from endodav_jax.export.manifest import MANIFEST_NAME, Format, Manifest, Storage
from endodav_jax.export.onnx_file import OPSET, Request, write_onnx
from endodav_jax.export.openvino_file import require_openvino, write_openvino
from endodav_jax.export.parts import Part, parts_of
from endodav_jax.export.sessions import READ_BY
from endodav_jax.export.stablehlo_file import write_stablehlo
from endodav_jax.files import remove, sha256_of_weights, whole_file
from endodav_jax.models import DepthModelConfig, merge_adapters

_OF_FILES = (*READ_BY, ".bin", ".safetensors", ".pth", ".pt")  # suffixes that would make a folder look like a file
BLACK_BOXES = ("video", "frame")  # the parts that are a complete network


def export_network(
    source: Path | str,
    out: Path | str,
    what: Format,
    storage: Storage = "float32",
    dynamic_batch: bool = False,
    overwrite: bool = False,
) -> Manifest:
    """Writes a network for other runtimes, with adapters folded in.

    Args:
      source: a checkpoint or published weights, see `checkpoints.load_model`.
      out: a folder, for all parts and `network.json`; or, with `what="onnx"`, a file `*.onnx` for the complete network.
      what: `onnx`, `openvino` (made from ONNX) or `stablehlo`.
      storage: `float32`, or `float16` for files of half the size (onnx, openvino).
      dynamic_batch: make the batch size of the per-frame parts dynamic (onnx, openvino).
      overwrite: replace an older export.

    Raises:
      UserError: see `load_model`; a converter that is not installed; an option not supported by the format; the
        output exists.
    """
    out = Path(out).absolute()
    if what == "stablehlo" and (storage != "float32" or dynamic_batch):
        raise UserError("--what stablehlo: its files are float32 with a static batch; omit the other option")
    if out.suffix in _OF_FILES and (what, out.suffix) != ("onnx", ".onnx"):
        raise UserError(f"{out}: --what {what} writes a folder; give a name without {out.suffix}")
    if what == "openvino":
        require_openvino("--what openvino")
    config, params, card = load_model(source)
    return write_parts(*merged_float32(config, params["depth"]), card, out, what, storage, dynamic_batch, overwrite)


def merged_float32(config: DepthModelConfig, params: dict) -> tuple[DepthModelConfig, dict]:
    """A network with its adapters folded in, computing in float32, with float32 weights on the host."""
    config, merged = merge_adapters(dataclasses.replace(config, precision="float32"), params)
    return config, jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), merged)


def write_parts(
    config: DepthModelConfig,
    params: dict,
    card: Card,
    out: Path,
    what: Format,
    storage: Storage = "float32",
    dynamic_batch: bool = False,
    overwrite: bool = False,
    only: tuple[str, ...] = (),
    keep: bool = False,
) -> Manifest:
    """Writes the parts of a network returned by `merged_float32`; for the other arguments see `export_network`.

    With `only`, writes only these parts; for `keep` see `files.whole_file`.

    Raises:
      UserError: a dynamic batch for parts that all have a static one; the output exists.
    """
    single = out.suffix == ".onnx"
    _check_replaced(out, single)
    parts = parts_of(config, params)
    if only:
        parts = {name: parts[name] for name in only}
    if single:
        parts = {name: part for name, part in parts.items() if name in BLACK_BOXES}
    if dynamic_batch and not any(part.batched for part in parts.values()):
        raise UserError(
            f"--dynamic-batch: {out} takes one window of frames at a time; omit it, or export to a folder, whose "
            "per-frame parts have it"
        )
    files = {name: f"{name}.onnx" for name in parts}
    ports = {name: ports_of(part, dynamic_batch) for name, part in parts.items()}
    about = Manifest("onnx", storage, config, card, files, digest_of_weights(params), ports, OPSET)
    with whole_file(out, overwrite or keep, keep) as part:
        part.mkdir()
        if what == "stablehlo":
            files, needed = write_stablehlo(parts, part)
            about = dataclasses.replace(about, stablehlo=needed)
        else:
            metadata = dict.fromkeys(parts, about.to_text())
            write_onnx(Request(config, tuple(parts), storage, dynamic_batch, metadata), params, part)
        if single:
            alone = (part / next(iter(files.values()))).rename(part.with_name(f"{part.name}.file"))
            remove(part)
            alone.rename(part)
            return about
        if what == "openvino":
            onnx_files, files = files, write_openvino(files, part, storage)
            for file in onnx_files.values():
                (part / file).unlink()
        opset = OPSET if what == "onnx" else None
        about = dataclasses.replace(about, format=what, parts=files, opset=opset).of_files(part)
        (part / MANIFEST_NAME).write_text(about.to_text() + "\n")
    return about


def _check_replaced(out: Path, single: bool) -> None:
    """Raises `UserError` if what has this name is no earlier export, and would be lost."""
    if single and out.is_dir():
        raise UserError(f"{out}: is a folder; name a file, or a folder without {out.suffix}")
    if not single and out.exists() and (out.is_file() or (any(out.iterdir()) and not (out / MANIFEST_NAME).is_file())):
        raise UserError(f"{out}: already exists and is not an exported network; choose another name")


def ports_of(part: Part, dynamic_batch: bool) -> dict[str, dict[str, list]]:
    """The `inputs` and `outputs` of a part, name -> shape, in order; "batch" is an axis of any length."""
    batch = ["batch"] if dynamic_batch and part.batched else []
    outputs = dict(zip(part.outputs, jax.eval_shape(part.function, *part.inputs.values()), strict=True))
    return {
        side: {name: batch + list(port.shape[len(batch) :]) for name, port in ports.items()}
        for side, ports in (("inputs", part.inputs), ("outputs", outputs))
    }


def digest_of_weights(params: dict) -> str:
    """SHA-256 of a network's weights, by their paths."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return sha256_of_weights({jax.tree_util.keystr(path): leaf for path, leaf in leaves})
