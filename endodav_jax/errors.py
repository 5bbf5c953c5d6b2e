"""The one kind of error a user is meant to read, and the exit codes of every command.

Whatever can go wrong with a user's file, field or machine raises `UserError` with one line that names the
file or field and the cure.  The command line prints that line and nothing else.  Every other exception is a
fault of this program and keeps its traceback.
"""

EXIT_OK = 0
EXIT_SOME_FAILED = 1  # the rest was done and reported
EXIT_USER_ERROR = 2
EXIT_PREEMPTED = 75  # stopped by SIGTERM after saving (EX_TEMPFAIL: run the same command again)


class UserError(Exception):
    """Something the user can mend; `str(error)` is one line naming the file or field and the cure."""
