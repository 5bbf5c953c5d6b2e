"""The kind of machine that the programs being traced are meant for.

Networks cut their work differently for a CPU (in groups that stay in its cache) and for an accelerator (all at once).
Usually a program is compiled where it is traced.  One that is exported for another machine says so with `traced_for`.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Literal

import jax

# `any` is a program for other compilers than XLA: plain operations on whole batches, no loops and no custom calls.
Platform = Literal["cpu", "gpu", "tpu", "any"]

_TARGET: contextvars.ContextVar[Platform | None] = contextvars.ContextVar("target platform", default=None)


def target_platform() -> str:
    """The platform that programs traced now are meant for: JAX's own, or that of `traced_for`."""
    return _TARGET.get() or jax.default_backend()


def on_cpu() -> bool:
    """Whether programs traced now are compiled for a CPU by XLA."""
    return target_platform() == "cpu"


@contextlib.contextmanager
def traced_for(platform: Platform) -> Iterator[None]:
    """Programs traced within are meant for `platform`.

    JAX caches traces of jitted functions by their arguments alone: trace a new function object here, not one that may
    have been traced before.
    """
    token = _TARGET.set(platform)
    try:
        yield
    finally:
        _TARGET.reset(token)
