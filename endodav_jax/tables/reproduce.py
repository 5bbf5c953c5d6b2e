"""Runs, prints and writes a complete table."""

import sys
from pathlib import Path

from endodav_jax.errors import EXIT_OK, EXIT_PREEMPTED, EXIT_SOME_FAILED
from endodav_jax.tables.given import Given
from endodav_jax.tables.outputs import write_outputs
from endodav_jax.tables.recipes import SmallRun
from endodav_jax.tables.row_inputs import Preempted, RowInputs
from endodav_jax.tables.rows import TABLES
from endodav_jax.tables.run import run_table
from endodav_jax.tables.text import table_text


def reproduce(table: str, given: Given, workdir: Path, size: SmallRun | None) -> int:
    """Runs a table.

    Args:
      table: a name of `TABLES`.
      given: the inputs provided by the user.
      workdir: folder for everything; finished results of an earlier run in it are reused.
      size: sizes for phantoms that replace the data sets; None for the data sets.

    Returns:
      The exit code: `EXIT_SOME_FAILED` if a row or a sequence could not be evaluated, `EXIT_PREEMPTED` if SIGTERM
      ended a training.
    """
    try:
        outcomes = run_table(TABLES[table], RowInputs(given, workdir, size))
    except Preempted as stopped:
        print(stopped, file=sys.stderr)
        return EXIT_PREEMPTED
    text = table_text(TABLES[table], outcomes)
    print(f"\n{text}\n")
    for path in write_outputs(workdir, TABLES[table], outcomes, text):
        print(path)
    return EXIT_OK if all(outcome.complete for outcome in outcomes) else EXIT_SOME_FAILED
