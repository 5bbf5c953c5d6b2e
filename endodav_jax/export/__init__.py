"""Exports networks to files for other runtimes (ONNX, OpenVINO, StableHLO), and runs and checks such files."""
