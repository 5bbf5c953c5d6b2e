"""Chooses the runtime for a network: the requested one, or the fastest one installed that suits this machine."""

import importlib.util

import jax

from endodav_jax.errors import UserError
from endodav_jax.export.openvino_file import require_openvino
from endodav_jax.inference.runtimes import Engine, Runtime, RuntimePrecision

EXTRAS = 'pip install "endodav-jax[onnx,openvino]"'
# A video with vits at 224x280, 2 cores, ms per frame in float32: OpenVINO 50, onnxruntime 92, JAX 169 (AVX2); 44, 79
# and 129 (AVX-512).  One window with matrix units (AMX): OpenVINO 91, JAX 114.
# `tools/benchmark.py inference --runtime all` compares them.
MEASURED = "faster than JAX on every CPU where both were measured"


def choose_runtime(runtime: Runtime, precision: RuntimePrecision, live: bool = False) -> tuple[Engine, str]:
    """Returns the runtime to use, and the reason as one line for the user.

    Args:
      runtime: the requested one, or `auto`.
      precision: of the activations.
      live: for a live source, where JAX is as fast as onnxruntime.

    Raises:
      UserError: the requested runtime does not support the precision here.
    """
    if runtime != "auto":
        check_precision(runtime, precision)
        return runtime, f"runtime {runtime}, as requested"
    if precision == "int8":
        check_precision("openvino", precision)
        return "openvino", "runtime openvino: the only one that supports int8"
    if jax.default_backend() != "cpu":
        return "jax", f"runtime jax: it uses this machine's {jax.default_backend()}"
    missing = [name for name in ("openvino", "jax2onnx") if not installed(name)]
    if missing == ["openvino"] and installed("onnxruntime") and precision == "float32" and not live:
        return "onnxruntime", f"runtime onnxruntime: {MEASURED}; OpenVINO, not installed, is faster still"
    if missing:
        return "jax", instead(f"{missing[0]} is not installed; {EXTRAS}")
    try:
        require_openvino("--runtime auto")
    except UserError as error:
        return "jax", instead(str(error))
    if precision == "bfloat16" and not processor_has_bfloat16():
        return "jax", "runtime jax: OpenVINO has no bfloat16 on this processor (float32 by OpenVINO is faster)"
    return "openvino", f"runtime openvino: {MEASURED}"


def instead(reason: str, faster: str = "OpenVINO") -> str:
    """The line that says why `auto` takes JAX, though another runtime would be faster."""
    return f"runtime jax: {faster} is faster on a CPU, but {reason}"


def installed(package: str) -> bool:
    """Whether a package is installed, without importing it."""
    return importlib.util.find_spec(package) is not None


def check_precision(engine: Engine, precision: RuntimePrecision) -> None:
    """Raises `UserError` if an engine does not support a precision on this machine."""
    if engine == "jax" and precision == "int8":
        raise UserError("--precision int8: JAX runs float32 and bfloat16; add --runtime openvino")
    if engine == "onnxruntime" and precision != "float32":
        raise UserError(f"--precision {precision}: onnxruntime runs float32 here; use --runtime openvino or jax")
    if engine == "openvino":
        require_openvino("--runtime openvino")
    if engine == "openvino" and precision == "bfloat16" and not processor_has_bfloat16():
        raise UserError("--precision bfloat16: OpenVINO does not support it on this processor; use float32 or int8")


def processor_has_bfloat16() -> bool:
    """Whether OpenVINO, if installed, computes in bfloat16 on this CPU."""
    if not installed("openvino"):
        return False
    openvino = require_openvino("--precision bfloat16")
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
