"""OpenVINO is used without its telemetry: what processes patients' videos reports to nobody."""

import subprocess
import sys

import pytest

WATCHED = """
import os, threading

def forked():
    raise SystemExit("forked")

os.fork = forked
from endodav_jax.export.openvino_import import import_openvino
import_openvino().Core()
import sys
assert "openvino_telemetry" not in sys.modules
print([thread.name for thread in threading.enumerate()])
"""


def test_importing_openvino_forks_nothing_and_leaves_no_thread_behind():
    pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("['MainThread']", "")
