"""The version of the package, recorded in checkpoints and outputs."""

__version__ = "0.1.0"
