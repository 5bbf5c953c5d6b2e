"""Tables for the terminal."""

from collections.abc import Sequence


def plain_table(rows: Sequence[Sequence[str]], left: int = 1, rule: bool = False) -> list[str]:
    """Returns lines whose columns stand below each other.

    Args:
      rows: cells, the head first.
      left: columns that are flush left; the others are flush right.
      rule: put a line of dashes below the head.
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
