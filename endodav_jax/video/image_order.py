"""The order of images, and the number of each, from their names."""

import itertools
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

_NUMBER = re.compile(r"(?<![0-9]\.)(?<!\d)\d+")  # digits after a number and a point are a fraction and do not count
_STAMP = re.compile(r"(\D*)(\d+)\.(\d+)")
_LARGEST_NUMBER = 2**31 - 1  # the largest a record can hold; nanoseconds since 1970 are not frame numbers


def natural_order(path: Path) -> list:
    """A sort key that puts `frame2` before `frame10`."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", str(path))]


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Returns files in natural order.

    Names that are times whose fractions differ in length are ambiguous: 12.5 is half a second past 12 if a program
    wrote one number, but five units past 12 if it wrote two integers (as some ROS exports do, without leading zeros).
    The reading that spaces the times more evenly is used.
    """
    ordered = sorted(paths, key=natural_order)
    stamps = [stamp for path in ordered if (stamp := _STAMP.fullmatch(path.stem)) is not None]
    if len(stamps) < len(ordered) or len({stamp[1] for stamp in stamps}) > 1:
        return ordered
    if len({len(stamp[3]) for stamp in stamps}) < 2:
        return ordered
    digits = max(len(stamp[3]) for stamp in stamps)
    as_number = [Fraction(f"{stamp[2]}.{stamp[3]}") for stamp in stamps]
    as_integers = [int(stamp[2]) + Fraction(int(stamp[3]), 10**digits) for stamp in stamps]
    if _unevenness(as_number) >= _unevenness(as_integers):
        return ordered
    return [path for _, path in sorted(zip(as_number, ordered, strict=True), key=lambda pair: pair[0])]


def frame_numbers(paths: Sequence[Path]) -> list[int] | None:
    """Returns the frame number in each name, or None if no part of the names can be one.

    It is the last number that increases from each name to the next, in the order given: a width, a date or the like
    is the same in all of them.

    Args:
      paths: in order.
    """
    numbers = [[int(number) for number in _NUMBER.findall(path.stem)] for path in paths]
    for place in range(1, min(map(len, numbers), default=0) + 1):
        chosen = [of_name[-place] for of_name in numbers]
        if chosen[-1] <= _LARGEST_NUMBER and all(a < b for a, b in itertools.pairwise(chosen)):
            return chosen
    return None


def _unevenness(times: list[Fraction]) -> float:
    times = sorted(times)
    return float(sum((b - a) ** 2 for a, b in itertools.pairwise(times)))
