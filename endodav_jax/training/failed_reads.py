"""What Orbax leaves behind where it fails to read a step: readers that complain when they are thrown away.

Orbax reads all arrays of a step at once, and where one cannot be read it closes its event loop on all the others.
These end at some later time, each with a traceback on stderr that says no more than the first error did.  Python hands
such errors to `sys.unraisablehook`.
"""

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import orbax.checkpoint as ocp

_ORBAX = str(Path(ocp.__file__).parent)


@contextlib.contextmanager
def abandoned_readers_hushed() -> Iterator[None]:
    """Keeps abandoned readers quiet if the block raises, and from then on: nothing says when the last of them ends."""
    before = sys.unraisablehook
    if not isinstance(before, _Hush):
        sys.unraisablehook = _Hush(before)
    yield
    sys.unraisablehook = before  # not reached where the block raises


class _Hush:
    """Leaves everything that does not come from an abandoned reader to the hook before."""

    def __init__(self, before: Callable[["sys.UnraisableHookArgs"], object]):
        self._before = before

    def __call__(self, unraisable: "sys.UnraisableHookArgs") -> None:
        reader = inspect.iscoroutine(unraisable.object) and unraisable.object.cr_code.co_filename.startswith(_ORBAX)
        # What TensorStore's threads run into that have something to tell such a reader.
        late = unraisable.object is None and str(unraisable.exc_value) == "Event loop is closed"
        if not (reader or late):
            self._before(unraisable)
