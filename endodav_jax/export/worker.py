"""Runs a converter in a separate process."""

import errno
import os
import subprocess
import sys


def run_worker(module: str, *arguments: str, failed: str, **environment: str) -> None:
    """Runs `python -m MODULE ARGUMENTS`.

    Args:
      module: of the package.
      *arguments: of the process.
      failed: what to say if it fails, before its own last words.
      **environment: variables set for it.

    Raises:
      OSError: the disk is full; `files.whole_file` says which file could not be written.
      RuntimeError: it failed for another reason.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    if not done.returncode:
        return
    full = os.strerror(errno.ENOSPC)
    if full in done.stderr:
        raise OSError(errno.ENOSPC, full)
    raise RuntimeError(f"{failed}:\n{done.stderr[-4000:]}")
