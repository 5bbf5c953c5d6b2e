"""`UserError`, the one kind of error meant for users, and the exit codes of every command.

Anything wrong with a user's file, field or machine raises `UserError` with one line that names the
file or field and what to do.  The command line prints only that line.  Every other exception is a
bug in this package and keeps its traceback.
"""

import os
import sys
from collections.abc import Callable

EXIT_OK = 0
EXIT_SOME_FAILED = 1  # the others were done and reported
EXIT_USER_ERROR = 2
EXIT_PREEMPTED = 75  # by SIGTERM, after saving what is complete (EX_TEMPFAIL: rerun the same command)
EXIT_INTERRUPTED = 130  # by Ctrl-C, as in shells
EXIT_UNHEARD = 141  # the reader of the output has exited (`endodav describe | head`), as in shells


class UserError(Exception):
    """An error the user can fix; `str(error)` is one line that names the file or field and what to do."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, in the programs: it ends what runs as Ctrl-C does, and is told apart from it by the exit code.

    A kind of KeyboardInterrupt, which asyncio and the libraries built on it pass on, unlike other exceptions.
    """


def exit_code(program: str, job: Callable[[], int | None]) -> int:
    """Runs a job and returns its exit code; a `UserError`, Ctrl-C or SIGTERM becomes one line on stderr."""
    try:
        return job() or EXIT_OK
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except Terminated:
        print(f"{program}: stopped by SIGTERM", file=sys.stderr)
        return EXIT_PREEMPTED
    except KeyboardInterrupt:
        print(f"{program}: stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # buffered output has no reader either
        return EXIT_UNHEARD
