"""`endodav reproduce table1|table2`: the paper's tables, ours beside theirs, from the data and weights at hand."""

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
      As of `tables.reproduce.reproduce`.

    Raises:
      UserError: data sets are given together with `--phantom`, or something that is given is not there.
    """
    if command.phantom and (command.given.scared or command.given.hamlyn):
        raise UserError("--phantom: stands in for --scared and --hamlyn; leave them out")
    for name, value in vars(command.given).items():
        if isinstance(value, Path) and not value.expanduser().exists():
            raise UserError(f"--{name.replace('_', '-')}: {value} does not exist")
    from endodav_jax.tables.recipes import SmallRun
    from endodav_jax.tables.reproduce import reproduce

    return reproduce(command.table, command.given, command.output, SmallRun() if command.phantom else None)
