"""How many programs JAX compiles while a block runs, as it tells its own listeners."""

import contextlib
from collections.abc import Iterator

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"
_compiled: list[str] = []


def _note(event: str, duration: float, **_) -> None:
    if event == _EVENT:
        _compiled.append(event)


jax.monitoring.register_event_duration_secs_listener(_note)


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """Yields a list that holds one entry for each program that was compiled, once the block has ended."""
    before = len(_compiled)
    during: list[str] = []
    yield during
    during += _compiled[before:]
