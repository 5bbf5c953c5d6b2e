"""Writes parts of a network as ONNX files, with jax2onnx in a separate process, since it patches JAX and Flax."""

import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
from flax import traverse_util
from safetensors.numpy import load_file, save_file

from endodav_jax.checkpoints.card import config_from_json
from endodav_jax.checkpoints.store import with_list_indices
from endodav_jax.errors import UserError
from endodav_jax.export.manifest import Storage
from endodav_jax.export.worker import run_worker
from endodav_jax.models.config import DepthModelConfig

OPSET = 18  # the newest that TensorRT 8.6 and 10, onnxruntime 1.15 and OpenVINO 2023 all read
EXTRA = 'pip install "endodav-jax[onnx]"'
REQUEST, WEIGHTS = "request.json", "weights.safetensors"


@dataclasses.dataclass(frozen=True)
class Request:
    """The request to the converting process.

    Attributes:
      config: of the network, with merged adapters.
      parts: names of `parts_of`.
      storage: `float32` or `float16`.
      dynamic_batch: make the first axis dynamic in parts that process frames independently.
      metadata: part -> text for the file's metadata, under the key `endodav_jax`.
    """

    config: DepthModelConfig
    parts: tuple[str, ...]
    storage: Storage
    dynamic_batch: bool
    metadata: dict[str, str]


def write_onnx(request: Request, params: dict, folder: Path) -> dict[str, str]:
    """Writes `folder/PART.onnx` for each part; returns the file names by part.

    Args:
      request: what to convert.
      params: the network's weights, a pure nested dict.
      folder: must exist.

    Raises:
      UserError: jax2onnx is not installed.
    """
    if not _installed():
        raise UserError(f"jax2onnx, which writes ONNX files, is not installed; {EXTRA}")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        place = Path(scratch)
        (place / REQUEST).write_text(json.dumps(dataclasses.asdict(request)))
        leaves = traverse_util.flatten_dict(params)
        flat = {".".join(map(str, path)): np.ascontiguousarray(leaf, np.float32) for path, leaf in leaves.items()}
        save_file(flat, place / WEIGHTS)
        worker, failed = "endodav_jax.export.onnx_worker", "the conversion to ONNX failed"
        run_worker(worker, str(place), str(folder), failed=failed, JAX_PLATFORMS="cpu")
    return {part: f"{part}.onnx" for part in request.parts}


def read_request(place: Path) -> tuple[Request, dict]:
    """Returns the request and the weights that `write_onnx` stored in a folder."""
    values = json.loads((place / REQUEST).read_text())
    config = config_from_json(values.pop("config"))
    values["parts"] = tuple(values["parts"])
    params = with_list_indices(traverse_util.unflatten_dict(load_file(place / WEIGHTS), sep="."))
    return Request(config, **values), params


def _installed() -> bool:
    import importlib.util

    return importlib.util.find_spec("jax2onnx") is not None
