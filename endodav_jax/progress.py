"""Progress bars on stderr: how many, how many a second, how long still."""

import sys

import tqdm


def progress_bar(total: int | None, label: str, quiet: bool = False) -> tqdm.tqdm:
    """Returns a bar that counts frames; `total` None shows no time left.

    Rates are averages from the start, since depth comes a window at a time.  Into a file or a pipe a line is
    written every 10 seconds at most.
    """
    interval = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm.tqdm(
        total=total, desc=label, unit="frame", disable=quiet, smoothing=0, mininterval=interval, dynamic_ncols=True
    )
