"""`endodav reproduce table1|table2`: the paper's tables, ours beside theirs, from the data and weights at hand."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from endodav_jax.errors import EXIT_OK, EXIT_PREEMPTED, EXIT_SOME_FAILED, UserError
from endodav_jax.fields import positional, spelled
from endodav_jax.tables.given import Given

if TYPE_CHECKING:
    from endodav_jax.tables.recipes import SmallRun

TableName = Literal["table1", "table2"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """The tables of the paper, ours beside theirs, from your data and weights.

    Attributes:
      table: table1 for VDA, EndoDAC and EndoDAV on SCARED and Hamlyn; table2 for the ablation.
      output: of all results; rerun to resume.
      phantom: every row at small size on phantoms: no data and no weights needed.
    """

    table: Annotated[TableName, *positional("TABLE")]
    output: Annotated[Path, spelled("-o", metavar="WORKDIR")]
    phantom: bool = False
    given: tyro.conf.OmitArgPrefixes[Given] = Given()


def run(command: Command) -> int:
    """Measures the rows, prints the table and writes it to WORKDIR as text, JSON and HTML.

    Returns:
      As of `reproduce`.

    Raises:
      UserError: data sets are given together with `--phantom`, or something that is given is not there.
    """
    from endodav_jax.tables.recipes import SmallRun

    if command.phantom and (command.given.scared or command.given.hamlyn):
        raise UserError("--phantom: stands in for --scared and --hamlyn; leave them out")
    for name, value in vars(command.given).items():
        if isinstance(value, Path) and not value.expanduser().exists():
            raise UserError(f"--{name.replace('_', '-')}: {value} does not exist")
    return reproduce(command.table, command.given, command.output, SmallRun() if command.phantom else None)


def reproduce(table: TableName, given: Given, workdir: Path, size: "SmallRun | None") -> int:
    """Runs a table.

    Args:
      table: which.
      given: what the user has.
      workdir: for everything; what an earlier run finished there is found again.
      size: of phantoms in place of the data sets; None for the data sets.

    Returns:
      The exit code: `EXIT_SOME_FAILED` where a row or a sequence could not be measured, `EXIT_PREEMPTED` where SIGTERM
      ended a training.
    """
    from endodav_jax.tables.materials import Materials, Preempted
    from endodav_jax.tables.outputs import write_outputs
    from endodav_jax.tables.rows import TABLES
    from endodav_jax.tables.run import run_table
    from endodav_jax.tables.text import table_text

    try:
        outcomes = run_table(TABLES[table], Materials(given, workdir, size))
    except Preempted as stopped:
        print(f"stopped and saved in {stopped}; the same command goes on", file=sys.stderr)
        return EXIT_PREEMPTED
    text = table_text(TABLES[table], outcomes)
    print(f"\n{text}\n")
    for path in write_outputs(workdir, TABLES[table], outcomes, text):
        print(path)
    return EXIT_OK if all(outcome.complete for outcome in outcomes) else EXIT_SOME_FAILED
