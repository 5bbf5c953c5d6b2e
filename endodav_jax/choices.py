"""Choices of fields that occur in the configurations of several layers.

This module imports nothing, so that a command can show its choices without importing JAX.
"""

from typing import Literal

Preset = Literal["vitt", "vits", "vitb", "vitl"]
Precision = Literal["float32", "bfloat16"]
OutputKind = Literal["disparity", "metric_depth"]
Stereo = Literal["none", "top", "bottom", "left", "right"]  # the half of a frame that holds two views
