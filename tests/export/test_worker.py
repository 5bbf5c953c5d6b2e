"""A converter runs in a process of its own; what it says last is not lost."""

import pytest

from endodav_jax.errors import UserError
from endodav_jax.export import worker
from endodav_jax.files import whole_file


def run(tmp_path, script):
    (tmp_path / "converter.py").write_text(script)
    worker.run_worker("converter", failed="the conversion failed", PYTHONPATH=str(tmp_path))


def test_a_full_disk_in_the_process_is_one_line_naming_the_file(tmp_path):
    script = "import errno, os\nraise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))"
    with (
        pytest.raises(UserError, match=r"parts: cannot be written \(No space left on device\); free space"),
        whole_file(tmp_path / "parts"),
    ):
        run(tmp_path, script)
    assert [place.name for place in tmp_path.iterdir()] == ["converter.py"]


def test_any_other_fault_of_the_disk_in_the_process_is_one_line_too(tmp_path):
    script = "import errno, os\nraise OSError(errno.EIO, os.strerror(errno.EIO))"
    with (
        pytest.raises(UserError, match=r"parts: cannot be written \(Input/output error\)"),
        whole_file(tmp_path / "parts"),
    ):
        run(tmp_path, script)


def test_any_other_failure_says_what_the_process_said(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)the conversion failed:\n.*ValueError: no such operation"):
        run(tmp_path, "raise ValueError('no such operation')")
    run(tmp_path, "import os; assert os.environ['PYTHONPATH']")
