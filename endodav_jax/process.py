"""What the programs change for their whole process; nothing else in the package changes anything of that kind.

`main` and `cli` call `set_up` before they do anything.  Importing the package, or constructing something of it, leaves
the process of whoever does so as it is; who wants the same there calls `set_up` too.
"""

import contextlib
import ctypes
import gc
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path

_ORBAX = os.path.join("orbax", "checkpoint") + os.sep


def set_up() -> None:
    """Sets up the process of a program: what is logged, when garbage is searched for, what is kept between runs."""
    _log_nothing()
    # Tracing a step of training makes millions of objects that live: looking through them all takes 5 s of a minute.
    gc.set_threshold(20_000, 10, 10)
    if not isinstance(sys.unraisablehook, HushedReaders):
        sys.unraisablehook = HushedReaders(sys.unraisablehook)
    use_compilation_cache()


def default_cache_folder() -> Path:
    """`endodav_jax` in the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "endodav_jax" / "xla"


def use_compilation_cache() -> None:
    """Keeps compiled programs in `default_cache_folder`, unless a folder is already set.

    Only the first run on a machine then waits for the compiler.  A folder that cannot be made (a read-only home, no
    home at all) leaves JAX without the cache; a failure while an entry is read or written is a warning of JAX's and
    stops nothing.
    """
    jax = sys.modules.get("jax")  # importing it takes a second, which a mistake in the arguments need not wait for
    if jax.config.jax_compilation_cache_dir if jax else os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    try:
        folder = default_cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return
    if jax:
        jax.config.update("jax_compilation_cache_dir", str(folder))
    else:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)


def release_free_memory() -> None:
    """Gives the system back what the process has freed, where its C library can.

    Compiling a step of vits leaves 1.7 GB behind in the allocator, which the step's arrays do not use.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class HushedReaders:
    """A `sys.unraisablehook` that leaves everything but what Orbax's abandoned readers say to the hook before.

    Orbax reads all arrays of a step at once, and where one cannot be read it closes its event loop on all the others.
    These end at some later time, each with a traceback on stderr that says no more than the first error did.  Python
    hands such errors to `sys.unraisablehook`, and nothing says when the last of them ends.
    """

    def __init__(self, before: Callable[["sys.UnraisableHookArgs"], object]):
        self._before = before

    def __call__(self, unraisable: "sys.UnraisableHookArgs") -> None:
        reader = inspect.iscoroutine(unraisable.object) and _ORBAX in unraisable.object.cr_code.co_filename
        # What TensorStore's threads run into that have something to tell such a reader.
        late = unraisable.object is None and str(unraisable.exc_value) == "Event loop is closed"
        if not (reader or late):
            self._before(unraisable)


def _log_nothing() -> None:
    """Keeps the reports of libraries off the user's screen; what matters becomes an error.

    Orbax tells of every file that it writes, TFDS of every configuration that is not its own, tifffile of every tag
    that it cannot read.
    """
    import logging as standard

    from absl import logging

    logging.set_verbosity(logging.FATAL)
    standard.getLogger("tifffile").setLevel(standard.CRITICAL)
