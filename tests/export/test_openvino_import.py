"""OpenVINO is used without its telemetry: what processes patients' videos reports to nobody."""

import errno
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from endodav_jax.export import openvino_import

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


def test_a_stream_of_openvino_that_fails_says_what_the_disk_lacks(tmp_path, monkeypatch):
    def save_model(model, path, compress_to_fp16):
        raise RuntimeError(model)

    monkeypatch.setattr(openvino_import, "import_openvino", lambda: SimpleNamespace(save_model=save_model))
    for free, code in ((0, errno.ENOSPC), (2**30, errno.EIO)):
        disk = SimpleNamespace(free=free)
        monkeypatch.setattr(openvino_import.shutil, "disk_usage", lambda folder, disk=disk: disk)
        with pytest.raises(OSError, match=r"\[Errno \d+\]") as raised:
            openvino_import.save_model("basic_ios::clear: iostream error", Path(tmp_path / "a.xml"))
        assert raised.value.errno == code
    with pytest.raises(RuntimeError, match="an operation"):
        openvino_import.save_model("an operation that it lacks", tmp_path / "a.xml")
