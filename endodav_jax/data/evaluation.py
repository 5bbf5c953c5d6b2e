"""Whole sequences of a prepared data set, frame by frame, for inference and evaluation."""

import collections
import concurrent.futures
from collections.abc import Iterator
from pathlib import Path

from endodav_jax.data.builders.features import decode_record
from endodav_jax.data.contract import EvaluationFrame, check_evaluation_frame
from endodav_jax.data.prepared import PreparedSplit
from endodav_jax.errors import UserError

_AHEAD = 4  # frames decoded in advance, which are all that is kept in memory


class EvaluationVideos:
    """The sequences of a split.

    Attributes:
      split: the split to read.
      sequences: names in the data set's order.

    Raises:
      UserError: the data set is missing or damaged, or has no such split.
    """

    def __init__(self, path: str | Path, split: str):
        self.split = PreparedSplit.open(path, split)
        self.sequences = self.split.sequences

    def length(self, sequence: str) -> int:
        """Returns the number of frames of a sequence."""
        return self.split.lengths[self._index(sequence)]

    def frames(self, sequence: str, max_len: int | None = None) -> Iterator[EvaluationFrame]:
        """Streams a sequence's frames in order, the first `max_len` of them, in constant memory."""
        index = self._index(sequence)
        first = int(self.split.offsets[index])
        last = first + min(self.split.lengths[index], max_len or self.split.lengths[index])
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            ahead: collections.deque[concurrent.futures.Future] = collections.deque()
            for number in range(first, last):
                ahead.append(pool.submit(self._frame, number))
                if len(ahead) > _AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _frame(self, number: int) -> EvaluationFrame:
        frame = decode_record(self.split.records([number])[0])
        check_evaluation_frame(frame)
        return frame

    def _index(self, sequence: str) -> int:
        if sequence not in self.sequences:
            raise UserError(f"{self.split.folder}: no sequence {sequence!r}; it has {', '.join(self.sequences)}")
        return self.sequences.index(sequence)
