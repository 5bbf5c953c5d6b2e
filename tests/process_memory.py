"""The memory that a process of tests holds and took at most, and how it gives some back."""

import ctypes
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")  # of Linux


def peak_kilobytes() -> int:
    """Of this program alone: Linux counts that of the process which started it into `ru_maxrss`."""
    return _status("VmHWM") if STATUS.exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def resident_megabytes() -> float:
    """Returns what this process holds now; 0 where the system does not tell."""
    return _status("VmRSS") / 1024 if STATUS.exists() else 0.0


def give_back_memory() -> None:
    """Returns freed memory to the system; the C library keeps it, and large compilations leave gigabytes behind."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)


def _status(name: str) -> int:
    return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
