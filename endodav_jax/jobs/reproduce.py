"""`endodav reproduce table1|table2`: the paper's tables, ours beside theirs, from the data and weights at hand."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from endodav_jax.errors import EXIT_OK, EXIT_PREEMPTED, EXIT_SOME_FAILED, UserError

if TYPE_CHECKING:
    from endodav_jax.tables.needs import Given
    from endodav_jax.tables.recipes import PhantomSize

TABLES = ("table1", "table2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The table, what the user has, and where everything goes."""
    add = parser.add_argument
    add("table", choices=TABLES, help="table1: VDA, EndoDAC, EndoDAV on SCARED and Hamlyn; table2: the ablation")
    add("-o", "--output", type=Path, required=True, metavar="WORKDIR", help="of all results; a stopped run goes on")
    add("--scared", type=Path, metavar="DIR", help="the download, or what `endodav prepare` made of it")
    add("--hamlyn", type=Path, metavar="DIR", help="the rectified release, or what `endodav prepare` made of it")
    add("--vda", type=Path, metavar="FILE", help="Video-Depth-Anything's weights (vitb.pth), or the converted folder")
    add("--endodav", type=Path, metavar="DIR", help="trained weights, published or of this program; else trained here")
    add("--endodac", type=Path, metavar="DIR", help="likewise")
    add("--endodav-without-projection", type=Path, metavar="DIR", help="likewise, trained without projection loss")
    add("--depth-anything", type=Path, metavar="FILE", help="Depth Anything V1 weights, to train EndoDAC from")
    add("--resnet", type=Path, metavar="FILE", help="torchvision's ResNet-18 weights, for the motion networks")
    add("--scared-split", choices=("test", "validation", "eval"), default="test", help="which list (default: test)")
    add("--hamlyn-split", choices=("test", "validation"), default="test", help="21 sequences, or five (default: test)")
    add("--precision", choices=("float32", "bfloat16"), default="float32", help="of training and inference")
    add("--seed", type=int, default=0, help="of all trainings")
    add("--phantom", action="store_true", help="every row at small size on phantoms: no data and no weights needed")


def run_arguments(args: argparse.Namespace) -> int:
    """Measures the rows, prints the table and writes it to WORKDIR as text, JSON and HTML.

    Returns:
      As of `reproduce`.

    Raises:
      UserError: data sets are given together with `--phantom`, or something that is given is not there.
    """
    from endodav_jax.tables.needs import Given
    from endodav_jax.tables.recipes import PhantomSize

    if args.phantom and (args.scared or args.hamlyn):
        raise UserError("--phantom: stands in for --scared and --hamlyn; leave them out")
    for name, value in vars(args).items():
        if isinstance(value, Path) and name != "output" and not value.expanduser().exists():
            raise UserError(f"--{name.replace('_', '-')}: {value} does not exist")
    given = Given(**{name: getattr(args, name) for name in vars(args).keys() & Given.__dataclass_fields__.keys()})
    return reproduce(args.table, given, args.output, PhantomSize() if args.phantom else None)


def reproduce(table: str, given: "Given", workdir: Path, size: "PhantomSize | None") -> int:
    """Runs a table.

    Args:
      table: one of `TABLES`.
      given: what the user has.
      workdir: for everything; what an earlier run finished there is found again.
      size: of phantoms in place of the data sets; None for the data sets.

    Returns:
      The exit code: `EXIT_SOME_FAILED` where a row or a sequence could not be measured, `EXIT_PREEMPTED` where SIGTERM
      ended a training.
    """
    from endodav_jax.tables.materials import Materials, Preempted
    from endodav_jax.tables.outputs import write_outputs
    from endodav_jax.tables.rows import TABLES as ROWS
    from endodav_jax.tables.run import run_table
    from endodav_jax.tables.text import table_text

    try:
        outcomes = run_table(ROWS[table], Materials(given, workdir, size))
    except Preempted as stopped:
        print(f"stopped and saved in {stopped}; the same command goes on", file=sys.stderr)
        return EXIT_PREEMPTED
    text = table_text(ROWS[table], outcomes)
    print(f"\n{text}\n")
    for path in write_outputs(workdir, ROWS[table], outcomes, text):
        print(path)
    return EXIT_OK if all(outcome.complete for outcome in outcomes) else EXIT_SOME_FAILED
