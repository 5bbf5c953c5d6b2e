"""Parts of a network as OpenVINO's own files, made from their ONNX files; in int8 after calibration by NNCF."""

import contextlib
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.export.manifest import Storage

EXTRA = 'pip install "endodav-jax[openvino]"'


def require_openvino(option: str):
    """Returns the module.

    Raises:
      UserError: it is not installed; `option` is what asked for it.
    """
    try:
        import openvino
    except ImportError as error:
        raise UserError(f"{option}: OpenVINO is not installed; {EXTRA}") from error
    return openvino


def write_openvino(files: dict[str, str], folder: Path, storage: Storage) -> dict[str, str]:
    """Writes `folder/PART.xml` and `.bin` of ONNX files that lie there; returns the file names by part."""
    openvino = require_openvino("--what openvino")
    written = {}
    for part, file in files.items():
        model = openvino.convert_model(folder / file)
        written[part] = f"{part}.xml"
        openvino.save_model(model, folder / written[part], compress_to_fp16=storage == "float16")
    return written


def quantise(file: Path, out: Path, examples: Iterable[tuple[np.ndarray, ...]]) -> None:
    """Writes an OpenVINO file in int8, calibrated on examples of a part's inputs.

    Raises:
      UserError: NNCF is not installed.
    """
    openvino = require_openvino("--precision int8")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            import nncf
    except ImportError as error:
        raise UserError(f"--precision int8: NNCF is not installed; {EXTRA}") from error
    model = openvino.Core().read_model(file)
    examples = list(examples)
    quantised = nncf.quantize(
        model,
        nncf.Dataset(examples, lambda example: dict(enumerate(example))),
        subset_size=len(examples),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
    )
    openvino.save_model(quantised, out, compress_to_fp16=False)
