"""`endodav reproduce table1|table2|study`: the paper's tables next to ours, or their rows on a rendered patient."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from endodav_jax.errors import UserError
from endodav_jax.fields import positional, spelled
from endodav_jax.tables.given import Given

TableName = Literal["table1", "table2", "study"]

STUDY = "phantom_study"
SEEDS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Reproduces the tables of the paper from your data and weights, or their rows on a rendered patient.

    Attributes:
      table: table1 for VDA, EndoDAC and EndoDAV on SCARED and Hamlyn; table2 for the ablation; study for the rows of
        both on rendered videos, without data, trained for hours.
      output: folder for all results; rerun to resume.
      phantom: run every row at small size on phantoms; no data or weights needed.
      config: for study: how to render and train, by name or file: phantom_study, phantom_study_192x256 (larger frames)
        or your own.
      seeds: for study: how many patients, each with videos to train on and others to measure on.
    """

    table: Annotated[TableName, *positional("TABLE")]
    output: Annotated[Path, spelled("-o", metavar="WORKDIR")]
    phantom: bool = False
    config: Annotated[str, spelled(metavar="NAME|FILE")] = STUDY
    seeds: int = SEEDS
    given: tyro.conf.OmitArgPrefixes[Given] = Given()


def run(command: Command) -> int:
    """Evaluates the rows, prints the table and writes it to WORKDIR as text, JSON and HTML.

    Returns:
      See `tables.reproduce.reproduce`.

    Raises:
      UserError: data sets are given together with `--phantom`, or a given path does not exist.
    """
    if command.table == "study":
        return _study(command)
    if command.config != STUDY:
        raise UserError(f"--config {command.config}: is for study; {command.table} trains as published")
    if command.seeds != SEEDS:
        raise UserError(f"--seeds {command.seeds}: is for study; {command.table} has one --seed")
    if command.phantom and (command.given.scared or command.given.hamlyn):
        raise UserError("--phantom: replaces --scared and --hamlyn; omit them")
    for name, value in vars(command.given).items():
        if isinstance(value, Path) and not value.expanduser().exists():
            raise UserError(f"--{name.replace('_', '-')}: {value} does not exist")
    from endodav_jax.tables.recipes import SmallRun
    from endodav_jax.tables.reproduce import reproduce

    return reproduce(command.table, command.given, command.output, SmallRun() if command.phantom else None)


def _study(command: Command) -> int:
    if command.phantom or command.given != Given():
        raise UserError("study: renders its own videos and starts from its configuration's weights; omit other options")
    if command.seeds < 1:
        raise UserError(f"--seeds: {command.seeds} must be at least 1")
    from endodav_jax.config import read_config
    from endodav_jax.tables.study import study

    config = read_config(command.config)
    if config.job != "train" or not config.data.phantom.family or not config.weights:
        raise UserError(
            f"--config {command.config}: does not train weights that it names on rendered videos; take {STUDY} as an "
            "example"
        )
    return study(config, command.seeds, command.output)
