"""Keeps two training runs from writing into one folder at once."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax

from endodav_jax.errors import UserError
from endodav_jax.files import CannotWriteError, make_folder
from endodav_jax.training import parallel

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "run.lock"  # empty; it stays, and only a lock on it means something


@contextlib.contextmanager
def folder_of_this_run(workdir: Path) -> Iterator[None]:
    """Holds a lock on a run's folder, in process 0; all processes must call this together.

    The system drops the lock with the process, however it ends.  Where locks are not possible, there is none.

    Raises:
      UserError: another run holds it.
    """
    with contextlib.ExitStack() as held:
        taken = False
        if fcntl is not None and jax.process_index() == 0:
            make_folder(workdir)
            try:
                file = held.enter_context(open(workdir / LOCK_FILE, "a"))
            except OSError as error:
                raise CannotWriteError(
                    f"{workdir}: cannot be written ({error.strerror}); choose another folder"
                ) from error
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                taken = True
            except OSError:  # a file system without locks
                pass
        if parallel.any_process(taken):
            raise UserError(f"{workdir}: another training run is writing here; let it end, or choose another folder")
        yield
