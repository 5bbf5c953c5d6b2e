"""Runs a converter in a separate process."""

import os
import re
import signal
import subprocess
import sys

from endodav_jax.errors import UserError


def run_worker(module: str, *arguments: str, failed: str, **environment: str) -> None:
    """Runs `python -m MODULE ARGUMENTS`.

    Args:
      module: of the package.
      *arguments: of the process.
      failed: what to say if it fails, before its own last words.
      **environment: variables set for it.

    Raises:
      OSError: it could not write, as on a full disk; `files.whole_file` says which file that is.
      UserError: a signal ended it, as where memory is short.
      RuntimeError: it failed for another reason.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    if not done.returncode:
        return
    if done.returncode < 0:
        cure = "; free memory, which it probably lacked" if done.returncode == -signal.SIGKILL else ""
        raise UserError(f"{failed}: {module} was ended by signal {-done.returncode}{cure}")
    written = re.findall(r"^OSError: \[Errno (\d+)\]", done.stderr, re.MULTILINE)
    if written:
        raise OSError(int(written[-1]), os.strerror(int(written[-1])))
    raise RuntimeError(f"{failed}:\n{done.stderr[-4000:]}")
