"""What steps reported, looked at without waiting for every one of them: what was not finite, and the depth's health."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.training import health, parallel


class _Step(NamedTuple):
    """A step whose results may still be on their way."""

    number: int
    metrics: dict
    sequences: np.ndarray
    first_frame: int
    last_frame: int


class Watch:
    """Remembers steps until they are looked at.

    A refused step leaves the state as it was (`TrainStep`), so nothing is lost by looking late: all that has to be kept
    is what a person wants to know of it, a few numbers on the device and the clip's name.  Whoever saves a state looks
    before.

    Args:
      sequences: names of the training sequences, by number.
      skip: whether steps that are not finite are skipped, and not a reason to stop.

    Attributes:
      start: health over the first steps that were looked at, by `health.MEASURED`; empty before.  A resumed run
        sets it.
    """

    def __init__(self, sequences: Sequence[str], skip: bool = False):
        self.start: dict[str, float] = {}
        self._sequences = sequences
        self._skip = skip
        self._steps: list[_Step] = []
        self._told: set[str] = set()

    def add(self, number: int, metrics: dict, batch: dict) -> None:
        """Remembers a step by what it returned, without waiting for it."""
        index = batch["frame_index"]
        self._steps.append(_Step(number, metrics, np.unique(batch["sequence"]), int(index.min()), int(index.max())))

    def look(self) -> dict[str, float]:
        """Waits for the remembered steps and forgets them; what is worth a worry is told once a run.

        Returns:
          Mean health over them, and against the start; empty where none of them was finite.

        Raises:
          UserError: a step was refused: the first of them, with what was not finite (losses, and gradients by group)
            and its clips; or the depth network's output is dead.
        """
        steps, self._steps = self._steps, []
        seen = []
        for step in steps:
            metrics = parallel.unreplicate(step.metrics)
            if metrics["finite"]:
                seen.append({name: float(metrics[name]) for name in health.MEASURED if name in metrics})
                if seen[-1] and health.is_dead(seen[-1]):
                    raise UserError(self._dead(step, seen[-1]))
            elif not self._skip:
                raise UserError(self._not_finite(step, metrics))
        if not seen or not seen[0]:
            return {}
        mean = {name: float(np.mean([measured[name] for measured in seen])) for name in health.MEASURED}
        self.start = self.start or mean
        compared = health.against_start(mean, self.start)
        for name, line in health.worries(compared).items():
            if name not in self._told:
                self._told.add(name)
                print(f"step {steps[-1].number}: {line}", file=sys.stderr)
        return mean | compared

    def _not_finite(self, step: _Step, metrics: dict) -> str:
        about = sorted(name for name, value in metrics.items() if not np.isfinite(value))
        bad = [name for name in about if name != "finite" and not name.startswith(health.PREFIX)]
        return (
            f"step {step.number}: {', '.join(bad) or 'a loss or gradient'} is not finite, on {self._clips(step)}; the "
            "last checkpoint is kept; --config.train.on_nan=skip skips such steps"
        )

    def _dead(self, step: _Step, measured: dict[str, float]) -> str:
        share = 100 * measured[health.ZERO_SHARE]
        return (
            f"step {step.number}: the depth network's output is 0 at {share:.1f}% of the pixels of "
            f"{self._clips(step)}: its last ReLU is dead and cannot recover; the last checkpoint is kept; lower the "
            "rates of what trains in the depth network (config.train.learning_rates), or set config.train.clip_norm, "
            "and start again"
        )

    def _clips(self, step: _Step) -> str:
        names = ", ".join(self._sequences[i] for i in step.sequences)
        return f"{names} frames {step.first_frame} to {step.last_frame}"
