"""Progress bars on stderr, with count, rate and remaining time, and listeners for progress."""

import contextlib
import contextvars
import sys
from collections.abc import Callable, Iterator
from typing import Literal

import tqdm

# Called with the amount done, and the total if known.
Listener = Callable[[int, int | None], None]

_LISTENER: contextvars.ContextVar[Listener | None] = contextvars.ContextVar("progress listener", default=None)


class _HeardBar(tqdm.tqdm):
    """A bar that notifies a listener, whether it is shown or not."""

    def __init__(self, listener: Listener, total: int | None, **options):
        self._listener, self._total, self._done = listener, total, 0
        super().__init__(total=total, **options)

    def update(self, n: float | None = 1) -> bool | None:
        """Counts `n` more."""
        self._done += int(n or 0)
        self._listener(self._done, self._total)
        return super().update(n)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Also reports the progress of everything inside the context to `listener`."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def progress_bar(
    total: int | None, label: str, quiet: bool = False, unit: Literal["frame", "B"] = "frame"
) -> tqdm.tqdm:
    """Returns a bar that counts frames or bytes; `total` None shows no time left.

    Rates are averaged from the start, since depth arrives one window at a time.  When writing to a file or a pipe, a
    line is written at most every 10 seconds.
    """
    interval = 0.1 if sys.stderr.isatty() else 10.0
    options = {
        "desc": label, "unit": unit, "unit_scale": unit == "B", "disable": quiet, "smoothing": 0,
        "mininterval": interval, "dynamic_ncols": True,
    }  # fmt: skip
    listener = _LISTENER.get()
    return tqdm.tqdm(total=total, **options) if listener is None else _HeardBar(listener, total, **options)
