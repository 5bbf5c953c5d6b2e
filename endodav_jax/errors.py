"""The one kind of error a user is meant to read, and the exit codes of every command.

Whatever can go wrong with a user's file, field or machine raises `UserError` with one line that names the
file or field and the cure.  The command line prints that line and nothing else.  Every other exception is a
fault of this program and keeps its traceback.
"""

import os
import sys
from collections.abc import Callable

EXIT_OK = 0
EXIT_SOME_FAILED = 1  # the rest was done and reported
EXIT_USER_ERROR = 2
EXIT_PREEMPTED = 75  # stopped by SIGTERM after saving (EX_TEMPFAIL: run the same command again)
EXIT_INTERRUPTED = 130  # by Ctrl-C, as shells have it
EXIT_UNHEARD = 141  # whoever read the output has stopped (`endodav describe | head`), likewise


class UserError(Exception):
    """Something the user can mend; `str(error)` is one line naming the file or field and the cure."""


def exit_code(program: str, job: Callable[[], int | None]) -> int:
    """Runs a job and returns its exit code; a `UserError` becomes one line on stderr, as does Ctrl-C."""
    try:
        return job() or EXIT_OK
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print(f"{program}: stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left there has no reader either
        return EXIT_UNHEARD
