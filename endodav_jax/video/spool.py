"""Keeps the disparities of a whole clip on disk until their range is known."""

import contextlib
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from endodav_jax.errors import UserError

HISTOGRAM_BINS = 1 << 16


class DisparitySpool:
    """A temporary file of float32 maps with their frame numbers and their minimum and maximum.

    The colour of a value depends on the range of the whole clip, and an .npz states its number of frames before the
    first of them.  Both are known only at the end, and by then the maps of a long video no longer fit in memory.  The
    file is read and written, not memory-mapped, since mapped pages count towards the memory of the process.  It has no
    name, so nothing is left behind whatever happens.
    """

    def __init__(self, folder: Path, size: tuple[int, int], inside: np.ndarray | None):
        """`inside`, bool [H, W], marks where values count in every frame; outside it they are set to 0.

        Raises:
          UserError: `folder` cannot be written.
        """
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
        self.folder, self.size, self.inside = folder, size, inside
        self.indices: list[int] = []
        self.low, self.high = np.inf, -np.inf

    def __enter__(self) -> "DisparitySpool":
        return self

    def __exit__(self, *_) -> None:
        with contextlib.suppress(OSError):  # a full disk rejects the last bytes of a file that is discarded anyway
            self._file.close()

    def __len__(self) -> int:
        return len(self.indices)

    def append(self, index: int, disparity: np.ndarray, counted: np.ndarray | None = None) -> None:
        """Adds the map float32 [H, W] of frame `index`; if `counted`, bool [H, W], is given, the rest becomes NaN.

        Raises:
          UserError: no space left, or values that are not finite.
        """
        if disparity.shape != self.size or disparity.dtype != np.float32:
            raise ValueError(f"frame {index}: {disparity.dtype} {disparity.shape}, wanted float32 {self.size}")
        if self.inside is not None:
            disparity = np.where(self.inside, disparity, np.float32(0))
            seen = disparity[self.inside]
        else:
            seen = disparity
        if counted is not None:
            seen = disparity[counted if self.inside is None else counted & self.inside]
        # A frame in which nothing counts does not affect the range.
        low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise UserError(
                f"frame {index}: its disparity is not finite; the weights are damaged or unfit for --precision"
            )
        if seen.size:
            self.low, self.high = min(self.low, low), max(self.high, high)
        if counted is not None:
            disparity = np.where(counted, disparity, np.float32(np.nan))
        try:
            self._file.write(np.ascontiguousarray(disparity).data)
            self._file.flush()
        except OSError as error:
            raise UserError(
                f"{self.folder}: no room for the disparities of more than {len(self)} frames ({error.strerror}); "
                "free space, choose another folder, or lower --max-res"
            ) from error
        self.indices.append(index)

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (frame index, float32 [H, W]) in the order in which they were added."""
        height, width = self.size
        self._file.seek(0)
        for index in self.indices:
            yield index, np.frombuffer(self._file.read(4 * height * width), np.float32).reshape(self.size)

    def quantiles(self, low: float, high: float) -> tuple[float, float]:
        """Returns two quantiles of all values inside, from a histogram with 65,536 bins over their range."""
        if self.high <= self.low:
            return self.low, self.high
        counts = np.zeros(HISTOGRAM_BINS, np.int64)
        for _, disparity in self:
            seen = disparity if self.inside is None else disparity[self.inside]
            seen = seen[~np.isnan(seen)]
            counts += np.histogram(seen, HISTOGRAM_BINS, (self.low, self.high))[0]
        share = np.cumsum(counts) / counts.sum()
        edges = np.linspace(self.low, self.high, HISTOGRAM_BINS + 1)
        return float(edges[np.searchsorted(share, low)]), float(edges[np.searchsorted(share, high) + 1])
