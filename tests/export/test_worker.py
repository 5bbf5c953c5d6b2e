"""A converter runs in a process of its own; what it says last is not lost."""

import errno
import os
import re

import pytest

from endodav_jax.errors import UserError
from endodav_jax.export import worker
from endodav_jax.files import whole_file


def run(tmp_path, script):
    (tmp_path / "converter.py").write_text(script)
    worker.run_worker("converter", failed="the conversion failed", PYTHONPATH=str(tmp_path))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_in_the_process_is_one_line_naming_the_file(tmp_path, code):
    said = re.escape(f"parts: cannot be written ({os.strerror(code)}); free space")
    with pytest.raises(UserError, match=said), whole_file(tmp_path / "parts"):
        run(tmp_path, f"import os\nraise OSError({code}, os.strerror({code}))")
    assert [place.name for place in tmp_path.iterdir()] == ["converter.py"]


def test_any_other_failure_says_what_the_process_said(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)the conversion failed:\n.*ValueError: no such operation"):
        run(tmp_path, "raise ValueError('no such operation')")
    run(tmp_path, "import os; assert os.environ['PYTHONPATH']")


def test_a_process_that_is_killed_is_one_line_with_the_signal(tmp_path):
    with pytest.raises(UserError, match=r"^the conversion failed: .* signal 9; free memory") as error:
        run(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert "\n" not in str(error.value)
