"""Imports OpenVINO with its telemetry off.

By itself, `import openvino` reports to its makers over the network, from a process that it forks: a program that
processes patients' videos must not, and forking beside JAX's threads can lock up.
"""

import errno
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, cast

_TELEMETRY = "openvino_telemetry"
_LITTLE = 2**20  # bytes left on a disk that is full


def import_openvino() -> ModuleType:
    """Returns the module; raises `ImportError` if it is not installed."""
    known = sys.modules.get(_TELEMETRY)
    # None makes an import of that name fail; OpenVINO then uses a stub in its place, for as long as the process runs.
    sys.modules[_TELEMETRY] = cast(ModuleType, None)
    try:
        import openvino
    finally:
        if known is None:
            del sys.modules[_TELEMETRY]
        else:
            sys.modules[_TELEMETRY] = known
    return openvino


def save_model(model: Any, path: Path, half: bool = False) -> None:
    """Writes a model of OpenVINO's, `.xml` and `.bin`, with weights in float16 if `half`.

    Raises:
      OSError: it cannot be written; OpenVINO itself says no more than that its stream failed.
    """
    try:
        import_openvino().save_model(model, path, compress_to_fp16=half)
    except RuntimeError as error:
        if "iostream" not in str(error):
            raise
        code = errno.ENOSPC if shutil.disk_usage(path.parent).free < _LITTLE else errno.EIO
        raise OSError(code, os.strerror(code)) from error
