"""All process-wide settings; nothing else in the package changes process-wide state.

`main` and `cli` call `set_up` before anything else.  Importing the package or constructing one of its objects does
not affect the process; call `set_up` to get the same settings in a program of your own.
"""

import contextlib
import ctypes
import gc
import inspect
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

from endodav_jax.errors import Terminated

CACHE_VARIABLE = "ENDODAV_JAX_CACHE"
SAME_REQUEST = 10.0  # seconds within which a repeated SIGTERM is the same one: schedulers send it along several ways
_ORBAX = os.path.join("orbax", "checkpoint") + os.sep


def set_up() -> None:
    """Configures the process: logging, garbage collection, SIGTERM and the compilation cache."""
    _log_nothing()
    # Tracing a training step creates millions of live objects: scanning all of them takes 5 s of a minute.
    gc.set_threshold(20_000, 10, 10)
    if not isinstance(sys.unraisablehook, HushedReaders):
        sys.unraisablehook = HushedReaders(sys.unraisablehook)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, Termination())
    use_compilation_cache()


def cache_folder() -> Path:
    """`ENDODAV_JAX_CACHE`, else `endodav_jax` in the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`).

    It keeps compiled programs and exported networks.
    """
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "endodav_jax"


def use_compilation_cache() -> None:
    """Caches compiled programs in `cache_folder`, unless a folder is already set.

    Only the first run on a machine then has to compile.  If the folder cannot be created (a read-only home, no
    home at all), JAX runs without the cache; a failure to read or write an entry is only a warning from JAX and
    stops nothing.
    """
    jax = sys.modules.get("jax")  # importing it takes a second, too long before reporting invalid arguments
    if jax.config.jax_compilation_cache_dir if jax else os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    try:
        folder = cache_folder() / "xla"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return
    if jax:
        jax.config.update("jax_compilation_cache_dir", str(folder))
    else:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)


def release_free_memory() -> None:
    """Returns freed memory to the system, if the C library supports it.

    Compiling a step of vits leaves 1.7 GB in the allocator that the arrays of the step do not use.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class Termination:
    """A handler of SIGTERM that raises `Terminated`, so that temporary files are removed and what is complete is kept.

    Worker processes are told first: Ctrl-C reaches them, too, and an executor would wait for all of their work.
    """

    def __init__(self):
        self._process, self._last = os.getpid(), -SAME_REQUEST

    def __call__(self, number: int, _frame: types.FrameType | None) -> None:
        if os.getpid() != self._process:  # a fork inherits the handler, but nothing that it could clean up
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        now = time.monotonic()
        if now - self._last < SAME_REQUEST:
            return
        self._last = now
        multiprocessing = sys.modules.get("multiprocessing")
        for worker in multiprocessing.active_children() if multiprocessing else ():
            worker.terminate()
        raise Terminated


class StopsHeld:
    """Holds back what Ctrl-C and SIGTERM raise, except within `let_through`; at the end at the latest it is raised.

    For what must not be left half written.  Signals without a handler in Python are left alone, and so is everything
    in other threads than the main one, where Python raises nothing.
    """

    def __init__(self):
        self._before: dict[int, Callable[[int, types.FrameType | None], object]] = {}
        self._pending: list[int] = []
        self._open = False

    def __enter__(self) -> "StopsHeld":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if callable(handler):
                    self._before[number] = handler
                    signal.signal(number, self._received)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._raise()

    @contextlib.contextmanager
    def let_through(self) -> Iterator[None]:
        """Raises what was held back, and whatever comes until the end of the context."""
        self._open = True
        try:
            self._raise()
            yield
        finally:
            self._open = False

    def _received(self, number: int, _frame: types.FrameType | None) -> None:
        self._pending.append(number)
        if self._open:
            self._raise()

    def _raise(self) -> None:
        if self._pending:
            first, self._pending = self._pending[0], []
            self._before[first](first, None)


class HushedReaders:
    """A `sys.unraisablehook` that drops errors from Orbax's abandoned readers and passes on everything else.

    Orbax reads all arrays of a step concurrently; if one cannot be read, it closes its event loop on all the others.
    These end later, each with a traceback on stderr that adds nothing to the first error.  Python passes such errors to
    `sys.unraisablehook`, and there is no way to know when the last of them ends.
    """

    def __init__(self, before: Callable[["sys.UnraisableHookArgs"], object]):
        self._before = before

    def __call__(self, unraisable: "sys.UnraisableHookArgs") -> None:
        reader = inspect.iscoroutine(unraisable.object) and _ORBAX in unraisable.object.cr_code.co_filename
        # Raised in TensorStore's threads when they try to notify such a reader.
        late = unraisable.object is None and str(unraisable.exc_value) == "Event loop is closed"
        if not (reader or late):
            self._before(unraisable)


def _log_nothing() -> None:
    """Silences the logging of libraries; problems that matter are raised as errors.

    Orbax logs every file that it writes, TFDS every configuration that is not its own, tifffile every tag
    that it cannot read.
    """
    import logging as standard

    from absl import logging

    logging.set_verbosity(logging.FATAL)
    standard.getLogger("tifffile").setLevel(standard.CRITICAL)
