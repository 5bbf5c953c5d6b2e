"""Steps that were refused because something was not finite: found without waiting for every step, named exactly."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.training import parallel


class _Step(NamedTuple):
    """A step whose results may still be on their way."""

    number: int
    metrics: dict
    sequences: np.ndarray
    first_frame: int
    last_frame: int


class Refusals:
    """Remembers steps until they are looked at.

    A refused step leaves the state as it was (`TrainStep`), so nothing is lost by looking late: all that has to be kept
    is what a person wants to know of it, a few numbers on the device and the clip's name.  Whoever saves a state looks
    before.

    Args:
      sequences: names of the training sequences, by number.
    """

    def __init__(self, sequences: Sequence[str]):
        self._sequences = sequences
        self._steps: list[_Step] = []

    def add(self, number: int, metrics: dict, batch: dict) -> None:
        """Remembers a step by what it returned, without waiting for it."""
        index = batch["frame_index"]
        self._steps.append(_Step(number, metrics, np.unique(batch["sequence"]), int(index.min()), int(index.max())))

    def look(self) -> None:
        """Waits for the remembered steps and forgets them.

        Raises:
          UserError: one was refused: the first of them, with what was not finite (losses, and gradients by group) and
            its clips.
        """
        steps, self._steps = self._steps, []
        for step in steps:
            if not parallel.unreplicate(step.metrics["finite"]):
                raise UserError(self._line(step))

    def _line(self, step: _Step) -> str:
        metrics = parallel.unreplicate(step.metrics)
        bad = sorted(name for name, value in metrics.items() if name != "finite" and not np.isfinite(value))
        names = ", ".join(self._sequences[i] for i in step.sequences)
        return (
            f"step {step.number}: {', '.join(bad) or 'a loss or gradient'} is not finite, on {names} frames "
            f"{step.first_frame} to {step.last_frame}; the last checkpoint is kept; --config.train.on_nan=skip skips "
            "such steps"
        )
