"""What a field may be, where several layers' configurations have it.

Nothing is imported here, so that a command can say what it takes before JAX is there.
"""

from typing import Literal

Preset = Literal["vitt", "vits", "vitb", "vitl"]
Precision = Literal["float32", "bfloat16"]
OutputKind = Literal["disparity", "metric_depth"]
