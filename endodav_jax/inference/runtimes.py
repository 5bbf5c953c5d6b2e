"""What may run a network, and in which precision: what commands share.  Without JAX, so that their help is quick."""

import dataclasses
from typing import Literal

Engine = Literal["jax", "onnxruntime", "openvino"]
Runtime = Literal["jax", "onnxruntime", "openvino", "auto"]
RuntimePrecision = Literal["float32", "bfloat16", "int8"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """What runs the network.

    Attributes:
      precision: of the network's activations: float32, bfloat16 (JAX, and OpenVINO where the processor has it) or int8
        (OpenVINO), whose cost in accuracy is measured first.
      runtime: what runs the network: JAX, onnxruntime or OpenVINO (extras onnx, openvino); auto takes the fastest that
        is installed and right for this machine, and says which.
      int8_frames: a video whose frames int8 is calibrated on; empty for rendered ones.
      int8_force: take int8 even where it adds more than 2% to abs rel.
    """

    precision: RuntimePrecision = "float32"
    runtime: Runtime = "jax"
    int8_frames: str = ""
    int8_force: bool = False
