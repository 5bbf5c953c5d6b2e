"""The process that converts to ONNX: `python -m endodav_jax.export.onnx_worker REQUEST_FOLDER OUT_FOLDER`.

It runs in a separate process because jax2onnx replaces functions of JAX and Flax while tracing.
"""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from endodav_jax.export.manifest import KIND
from endodav_jax.export.onnx_file import OPSET, Request, read_request
from endodav_jax.export.parts import Part, parts_of
from endodav_jax.models.platform import traced_for
from endodav_jax.version import __version__

if TYPE_CHECKING:
    import onnx

# These compute sums over many values or exponentials, for which half precision is too coarse.
FLOAT32_OPERATIONS = ("LayerNormalization", "ReduceMean", "ReduceSum", "Softmax", "Sqrt", "Div", "Erf")


def main(place: Path, out: Path) -> None:
    """Converts and writes each requested part."""
    import onnx

    logging.disable(logging.WARNING)
    request, params = read_request(place)
    parts = parts_of(request.config, params)
    for name in request.parts:
        model = convert(parts[name], request)
        onnx.save(model, out / f"{name}.onnx")


def convert(part: Part, request: Request) -> "onnx.ModelProto":
    """One part as an ONNX model with its metadata."""
    # Imported here because they modify JAX, the environment and the warning filters.
    import onnx
    from jax2onnx import to_onnx

    inputs = [
        ("batch", *spec.shape[1:]) if request.dynamic_batch and part.batched else spec for spec in part.inputs.values()
    ]
    with traced_for("any"):
        model = to_onnx(
            part.function,
            inputs=inputs,
            model_name=part.name,
            opset=OPSET,
            normalization_mode="prefer_native",
            input_names=list(part.inputs),
            output_names=list(part.outputs),
        )
    _remove_unused(model.graph)
    if request.storage == "float16":
        model = _half(model)
    model.doc_string = part.about
    model.producer_name, model.producer_version = "endodav_jax", __version__
    onnx.helper.set_model_props(model, {"kind": KIND, "endodav_jax": request.metadata[part.name]})
    onnx.checker.check_model(model)
    return model


def _remove_unused(graph: "onnx.GraphProto") -> None:
    """Constants that no node reads, which would cause a warning in every reader of the file."""
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    used = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(used)


def _half(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Weights and activations in half precision, inputs and outputs unchanged."""
    import onnx_ir
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half = convert_float_to_float16(model, keep_io_types=True, op_block_list=list(FLOAT32_OPERATIONS))
    graph = onnx_ir.from_proto(half)
    graph.graph.sort()  # the casts were appended at the end
    return onnx_ir.to_proto(graph)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
