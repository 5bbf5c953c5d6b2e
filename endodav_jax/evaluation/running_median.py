"""The exact median of more numbers than fit in memory, in two passes."""

import numpy as np

_BINS = 1 << 16


class RunningMedian:
    """Counts float32 numbers by the high half of their bits and, in a second pass, by the low half.

    The bits of floats sort like the floats themselves if those of negative numbers are inverted, so the two counts
    find the same number as sorting would.  Usage: `count` every array, `refine` every array again, `value()`.
    """

    def __init__(self):
        self._high = np.zeros(_BINS, np.int64)
        self._low: dict[int, np.ndarray] = {}

    def count(self, values: np.ndarray) -> None:
        """First pass: adds numbers, of any shape."""
        self._high += np.bincount(_ordered(values) >> 16, minlength=_BINS)

    def refine(self, values: np.ndarray) -> None:
        """Second pass over the same numbers, in any order."""
        if not self._low:
            self._low = {self._bin_of(rank)[0]: np.zeros(_BINS, np.int64) for rank in self._ranks()}
        ordered = _ordered(values)
        high = ordered >> 16
        for chosen, counts in self._low.items():
            counts += np.bincount(ordered[high == chosen] & (_BINS - 1), minlength=_BINS)

    def value(self) -> float:
        """The median; for an even count the mean of the two middle numbers, as in NumPy."""
        middle = []
        for rank in self._ranks():
            chosen, within = self._bin_of(rank)
            low = int(np.searchsorted(np.cumsum(self._low[chosen]), within, side="right"))
            middle.append(_float_of((chosen << 16) | low))
        return float(np.mean(np.asarray(middle, np.float64)))

    def __len__(self) -> int:
        return int(self._high.sum())

    def _ranks(self) -> tuple[int, int]:
        count = len(self)
        if not count:
            raise ValueError("no numbers to take the median of")
        return (count - 1) // 2, count // 2

    def _bin_of(self, rank: int) -> tuple[int, int]:
        """Returns the high half of the number with a given rank, and its rank among numbers with the same high half."""
        cumulative = np.cumsum(self._high)
        chosen = int(np.searchsorted(cumulative, rank, side="right"))
        return chosen, rank - int(cumulative[chosen] - self._high[chosen])


def _ordered(values: np.ndarray) -> np.ndarray:
    """Returns bits, int64, that sort like the float32 values."""
    bits = np.ascontiguousarray(values, np.float32).ravel().view(np.uint32)
    negative = (bits >> 31).astype(bool)
    return np.where(negative, ~bits, bits | np.uint32(1 << 31)).astype(np.int64)


def _float_of(ordered: int) -> float:
    bits = ordered ^ (1 << 31) if ordered >> 31 else ~ordered & 0xFFFFFFFF
    return np.array(bits, np.uint32).view(np.float32).item()
