"""Runtime and precision options shared by commands.  Does not import JAX, so that their help is fast."""

import dataclasses
from typing import Literal

from endodav_jax.choices import Precision
from endodav_jax.fields import check_choices

Engine = Literal["jax", "onnxruntime", "openvino"]
Runtime = Literal[Engine, "auto"]
RuntimePrecision = Literal[Precision, "int8"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """Runtime and precision of the network.

    Attributes:
      precision: precision of the network's activations: float32, bfloat16 (JAX, and OpenVINO if the processor supports
        it) or int8 (OpenVINO), whose loss of accuracy is measured first.
      runtime: runtime for the network: JAX, onnxruntime or OpenVINO (extras onnx, openvino); auto selects the fastest
        one that is installed and suits this machine, and reports it.
      int8_frames: a video with frames for the calibration of int8; empty for rendered frames.
      int8_force: use int8 even if it increases abs rel by more than 2%.
    """

    precision: RuntimePrecision = "float32"
    runtime: Runtime = "jax"
    int8_frames: str = ""
    int8_force: bool = False

    def __post_init__(self):
        check_choices(self, "")
