"""A whole table: its rows measured, printed and written."""

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
      given: what the user has.
      workdir: for everything; what an earlier run finished there is found again.
      size: of phantoms in place of the data sets; None for the data sets.

    Returns:
      The exit code: `EXIT_SOME_FAILED` where a row or a sequence could not be measured, `EXIT_PREEMPTED` where SIGTERM
      ended a training.
    """
    try:
        outcomes = run_table(TABLES[table], RowInputs(given, workdir, size))
    except Preempted as stopped:
        print(f"stopped and saved in {stopped}; the same command goes on", file=sys.stderr)
        return EXIT_PREEMPTED
    text = table_text(TABLES[table], outcomes)
    print(f"\n{text}\n")
    for path in write_outputs(workdir, TABLES[table], outcomes, text):
        print(path)
    return EXIT_OK if all(outcome.complete for outcome in outcomes) else EXIT_SOME_FAILED
