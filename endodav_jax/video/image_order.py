"""In which order images follow each other by their names, and which number each has."""

import itertools
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

_NUMBER = re.compile(r"(?<![0-9]\.)(?<!\d)\d+")  # not what follows a number and a point, which is a fraction
_STAMP = re.compile(r"(\D*)(\d+)\.(\d+)")
_LARGEST_NUMBER = 2**31 - 1  # what a record holds; nanoseconds since 1970 are no numbers of frames


def natural_order(path: Path) -> list:
    """A sorting key by which `frame2` comes before `frame10`."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", str(path))]


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Returns files in natural order.

    Names of seconds and a fraction whose lengths differ can be meant in two ways: 12.5 is half a second past 12 where
    a program wrote a number, five units past where it wrote two integers (as some ROS exports do, without leading
    zeros).  The way by which the times are more even counts.
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
    """Returns the frame number in each name, or None where no part of the names can be one.

    It is the last number that grows from every name to the next, in the order given: a width, a date or the like is
    the same in all of them.

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
