"""Exported files as callables from arrays to arrays."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from endodav_jax.choices import Precision
from endodav_jax.errors import UserError
from endodav_jax.export.onnx_file import EXTRA
from endodav_jax.export.openvino_file import require_openvino
from endodav_jax.export.stablehlo_file import SUFFIX
from endodav_jax.inference.runtimes import Engine

if TYPE_CHECKING:
    import onnxruntime

# Arrays in the order of a part's inputs -> arrays in the order of its outputs.
Session = Callable[..., list[np.ndarray]]
# Suffix of an exported file -> the engines that read it, the usual one first.
READ_BY: Mapping[str, tuple[Engine, ...]] = MappingProxyType({
    ".onnx": ("onnxruntime", "openvino"), ".xml": ("openvino",), SUFFIX: ("jax",),
})  # fmt: skip


def open_session(path: Path, engine: Engine | None = None, compute: Precision = "float32") -> Session:
    """Opens one exported file.

    Args:
      path: `.onnx`, `.xml` (OpenVINO) or `.stablehlo`.
      engine: the runtime; by default onnxruntime, OpenVINO or JAX, depending on the file.
      compute: type of the activations if the engine supports several (OpenVINO).

    Raises:
      UserError: the file is missing or damaged, or the engine is not installed or cannot read it.
    """
    engines = READ_BY.get(path.suffix)
    if engines is None:
        raise UserError(f"{path}: not an exported file ({', '.join(READ_BY)})")
    if not path.is_file():
        raise UserError(f"{path}: no such file; write it with `endodav export`")
    engine = engine or engines[0]
    if engine not in engines:
        raise UserError(f"{path}: {engine} does not read {path.suffix} files; use {' or '.join(engines)}")
    try:
        if engine == "onnxruntime":
            return _onnxruntime(path)
        if engine == "openvino":
            return _openvino(path, compute)
        return _jax(path)
    except UserError:
        raise
    except Exception as error:  # each engine has its own exception types
        reason = _reason(error)
        raise UserError(f"{path}: {engine} cannot read it ({reason}); export it again") from error


def _reason(error: Exception) -> str:
    """The first line of an engine's message that says more than where in its sources the error arose."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Exception from ")]
    return (telling or lines or [type(error).__name__])[0].rstrip(":")


def onnxruntime_session(path: Path) -> "onnxruntime.InferenceSession":
    """Opens an ONNX file in onnxruntime.

    Raises:
      UserError: onnxruntime is not installed.  It raises its own exceptions for a file that it cannot read.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"onnxruntime is not installed; {EXTRA}") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # The CPU's provider alone: an accelerator's computes in other precisions, and falls back without a word.
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _onnxruntime(path: Path) -> Session:
    session = onnxruntime_session(path)
    names = [port.name for port in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))


def _openvino(path: Path, compute: Precision) -> Session:
    openvino = require_openvino("--runtime openvino")
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[compute]}
    request = openvino.Core().compile_model(path, "CPU", hints).create_infer_request()
    outputs = range(len(request.model_outputs))

    def run(*arrays):
        # Copies, since the request's buffers are overwritten by its next call.
        request.infer(dict(enumerate(arrays)), share_inputs=True)
        return [np.array(request.get_output_tensor(i).data) for i in outputs]

    return run


def _jax(path: Path) -> Session:
    import jax

    call = jax.jit(jax.export.deserialize(bytearray(path.read_bytes())).call)
    return lambda *arrays: [np.asarray(array) for array in call(*arrays)]
