"""Tables for the terminal."""

from collections.abc import Sequence


def plain_table(rows: Sequence[Sequence[str]], left: int = 1, rule: bool = False) -> list[str]:
    """Returns lines with aligned columns.

    Args:
      rows: cells; the first row is the header.
      left: columns aligned left; the others are aligned right.
      rule: put a line of dashes below the header.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]] if rule else lines
