"""The process that quantises: `python -m endodav_jax.export.int8_worker REQUEST_FOLDER`.

It runs in a separate process because NNCF draws progress bars, forks, warns, and sends telemetry, which a program
that processes patients' videos must not; `NNCF_CI` in its environment disables this.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from endodav_jax.export.openvino_import import import_openvino, save_model

REQUEST, EXAMPLES = "request.json", "examples.safetensors"


def main(place: Path) -> None:
    """Calibrates and writes the requested model."""
    openvino = import_openvino()
    import nncf

    request = json.loads((place / REQUEST).read_text())
    arrays = load_file(place / EXAMPLES)
    count, inputs = request["examples"], request["inputs"]
    # `ascontiguousarray` would make a vector of a scalar, such as the number of a step.
    examples = [{i: np.array(arrays[f"{n}.{i}"], order="C") for i in range(inputs)} for n in range(count)]
    model = nncf.quantize(
        openvino.Core().read_model(request["file"]),
        nncf.Dataset(examples),
        subset_size=count,
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(types=request["left"], validate=False) if request["left"] else None,
    )
    save_model(model, Path(request["out"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
