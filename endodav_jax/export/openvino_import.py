"""Imports OpenVINO with its telemetry off.

By itself, `import openvino` reports to its makers over the network, from a process that it forks: a program that
processes patients' videos must not, and forking beside JAX's threads can lock up.
"""

import sys
from types import ModuleType
from typing import cast

_TELEMETRY = "openvino_telemetry"


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
