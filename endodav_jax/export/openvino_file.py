"""Writes parts of a network as OpenVINO files, made from their ONNX files; in int8 after calibration by NNCF."""

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors.numpy import save_file

from endodav_jax.errors import UserError
from endodav_jax.export.int8_worker import EXAMPLES, REQUEST
from endodav_jax.export.manifest import Storage
from endodav_jax.export.openvino_import import import_openvino, save_model
from endodav_jax.export.worker import run_worker

EXTRA = 'pip install "endodav-jax[openvino]"'

Quantised = Literal["everything", "convolutions"]
# Layers kept in float: matrix products are slower in int8 on processors without int8 instructions.
_LEFT: dict[Quantised, tuple[str, ...]] = {"everything": (), "convolutions": ("MatMul",)}


def require_openvino(option: str):
    """Returns the module.

    Raises:
      UserError: it is not installed or broken; `option` is the option that requires it.
    """
    try:
        return import_openvino()
    except ModuleNotFoundError as error:
        raise UserError(f"{option}: OpenVINO is not installed; {EXTRA}") from error
    except (ImportError, OSError) as error:  # a library of the system's that is missing, or another's in its place
        raise UserError(f"{option}: OpenVINO cannot be imported ({_line(error)}); reinstall it: {EXTRA}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def require_nncf(option: str) -> None:
    """Raises `UserError` if NNCF is not installed, without importing it."""
    require_openvino(option)
    if importlib.util.find_spec("nncf") is None:
        raise UserError(f"{option}: NNCF is not installed; {EXTRA}")


def write_openvino(files: dict[str, str], folder: Path, storage: Storage) -> dict[str, str]:
    """Writes `folder/PART.xml` and `.bin` from ONNX files in that folder; returns the file names by part."""
    openvino = require_openvino("--what openvino")
    written = {}
    for part, file in files.items():
        model = openvino.Core().read_model(folder / file)
        written[part] = f"{part}.xml"
        save_model(model, folder / written[part], half=storage == "float16")
    return written


def quantise(file: Path, out: Path, examples: list[tuple[np.ndarray, ...]], what: Quantised = "everything") -> None:
    """Writes an OpenVINO file in int8, calibrated on examples, in a separate process.

    Args:
      file: an ONNX or OpenVINO file.
      out: the file to write, `.xml`.
      examples: inputs of the part, in order.
      what: quantise every possible layer, or only convolutions.

    Raises:
      UserError: NNCF is not installed.
    """
    require_nncf("--precision int8")
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        place = Path(scratch)
        arrays = {f"{n}.{i}": np.array(array) for n, row in enumerate(examples) for i, array in enumerate(row)}
        save_file(arrays, place / EXAMPLES)
        request = {"file": str(file), "out": str(out), "examples": len(examples), "inputs": len(examples[0])}
        (place / REQUEST).write_text(json.dumps(request | {"left": _LEFT[what]}))
        run_worker("endodav_jax.export.int8_worker", str(place), failed="NNCF failed", NNCF_CI="1")
