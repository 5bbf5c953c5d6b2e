"""Data sets of Grain: repeated without end, and made into batches in several processes."""

from collections.abc import Callable

import grain
from absl import flags

BATCHES_AHEAD = 2  # of each process
ENDLESS = 2**40  # elements, more than any run draws; Grain's own endless repetition overflows in batches of one


def endless(elements: grain.MapDataset) -> grain.MapDataset:
    """Returns the elements over and over, shuffled anew each time if they are shuffled."""
    return elements.repeat(max(1, ENDLESS // len(elements)))


def in_processes(
    batches: grain.IterDataset, workers: int, start: Callable[[int, int], None] | None = None
) -> grain.IterDataset:
    """Returns the same batches in the same order, made in `workers` processes; unchanged if there are none.

    Args:
      batches: picklable.
      workers: how many processes.
      start: called first in each process with its number and how many there are.
    """
    if not workers:
        return batches
    if not flags.FLAGS.is_parsed():  # Grain's workers read absl's flags, which a notebook never parses
        flags.FLAGS.mark_as_parsed()
    options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=BATCHES_AHEAD)
    return batches.mp_prefetch(options, worker_init_fn=start)
