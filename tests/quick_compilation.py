"""What makes XLA compile for a CPU in less time, into programs several times as slow.

For processes whose programs run a few times only, so that nearly all of their time is compilation.  Such programs round
differently: not for tests of numbers.
"""

import os
import subprocess
import sys
from pathlib import Path

QUICK_COMPILATION = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"}


def printed_by(module: str, workdir: Path) -> str:
    """Runs a module of the tests as a program into a folder, which must succeed, and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", module, workdir],
        env=os.environ | QUICK_COMPILATION | {"TQDM_DISABLE": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
