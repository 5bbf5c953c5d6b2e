"""The version of the package, which checkpoints and outputs name."""

__version__ = "0.1.0"
