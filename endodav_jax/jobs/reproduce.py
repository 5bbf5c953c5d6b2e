"""`endodav reproduce table1|table2`: the paper's tables next to ours, from the available data and weights."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from endodav_jax.errors import UserError
from endodav_jax.fields import positional, spelled
from endodav_jax.tables.given import Given

TableName = Literal["table1", "table2"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Reproduces the tables of the paper from your data and weights, and prints ours next to theirs.

    Attributes:
      table: table1 for VDA, EndoDAC and EndoDAV on SCARED and Hamlyn; table2 for the ablation.
      output: folder for all results; rerun to resume.
      phantom: run every row at small size on phantoms; no data or weights needed.
    """

    table: Annotated[TableName, *positional("TABLE")]
    output: Annotated[Path, spelled("-o", metavar="WORKDIR")]
    phantom: bool = False
    given: tyro.conf.OmitArgPrefixes[Given] = Given()


def run(command: Command) -> int:
    """Evaluates the rows, prints the table and writes it to WORKDIR as text, JSON and HTML.

    Returns:
      See `tables.reproduce.reproduce`.

    Raises:
      UserError: data sets are given together with `--phantom`, or a given path does not exist.
    """
    if command.phantom and (command.given.scared or command.given.hamlyn):
        raise UserError("--phantom: replaces --scared and --hamlyn; omit them")
    for name, value in vars(command.given).items():
        if isinstance(value, Path) and not value.expanduser().exists():
            raise UserError(f"--{name.replace('_', '-')}: {value} does not exist")
    from endodav_jax.tables.recipes import SmallRun
    from endodav_jax.tables.reproduce import reproduce

    return reproduce(command.table, command.given, command.output, SmallRun() if command.phantom else None)
