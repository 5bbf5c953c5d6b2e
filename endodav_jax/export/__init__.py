"""Networks as files for other runtimes: ONNX, OpenVINO and StableHLO, and running and checking such files."""
