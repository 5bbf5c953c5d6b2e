"""Frames stored as one file each, with depth files paired by number."""

from collections.abc import Callable, Container, Iterator
from pathlib import Path

from endodav_jax.data.sources.base import BadFrame, SourceFrame
from endodav_jax.data.sources.decode import Unreadable, read_rgb
from endodav_jax.errors import UserError


def read_each(
    files: dict[int, Path], load: Callable[[int, Path], SourceFrame], only: Container[int] | None
) -> Iterator[SourceFrame | BadFrame]:
    """Yields `load(number, path)` for every file, or a `BadFrame` if it raises `Unreadable`."""
    for number, path in files.items():
        if only is not None and number not in only:
            continue
        try:
            yield load(number, path)
        except Unreadable as error:
            yield BadFrame(number, str(error))


def first_size(files: dict[int, Path]) -> tuple[int, int]:
    """Returns (height, width) of the first image that can be decoded.

    Raises:
      UserError: none can.
    """
    for path in files.values():
        try:
            return read_rgb(path).shape[:2]
        except Unreadable:
            continue
    raise UserError(f"{next(iter(files.values())).parent}: not one of its images can be decoded; copy them anew")


def gaps_in(numbers: list[int]) -> str | None:
    """Returns a line on missing numbers between the first and the last, None when there is no gap."""
    missing = numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0
    return f"{missing} numbers are missing between {numbers[0]} and {numbers[-1]}" if missing else None


def unpaired(images: dict[int, Path], others: dict[int, Path], what: str) -> list[str]:
    """Returns lines on images without a partner and partners without an image."""
    lines = []
    alone = [number for number in images if number not in others]
    if alone:
        lines.append(f"{len(alone)} images have no {what}, the first is number {alone[0]}")
    extra = [number for number in others if number not in images]
    if extra:
        lines.append(f"{len(extra)} {what}s have no image, the first is number {extra[0]}")
    return lines
