"""Checks the results of steps without waiting for each one: values that are not finite, and the health of the depth."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from endodav_jax.errors import UserError
from endodav_jax.training import health, parallel


class RunBroken(UserError):
    """A run cannot go on as configured: a step is not finite, or the depth network's output is dead."""


class _Step(NamedTuple):
    """A step whose results may still be being computed."""

    number: int
    metrics: dict
    sequences: np.ndarray
    first_frame: int
    last_frame: int


class Watch:
    """Records steps until they are checked.

    A refused step leaves the state unchanged (`TrainStep`), so checking late loses nothing: only what is needed for the
    message is kept, a few numbers on the device and the name of the clip.  Steps must be checked before a state is
    saved.

    Args:
      sequences: names of the training sequences, by number.
      skip: whether steps that are not finite are skipped instead of stopping the run.
      projection, relative: of the projection loss; see `health.warnings_of`.

    Attributes:
      start: health over the first steps that were checked, by `health.MEASURED`; empty before that.  A resumed run
        sets it.
    """

    def __init__(self, sequences: Sequence[str], skip: bool = False, projection: bool = True, relative: bool = False):
        self.start: dict[str, float] = {}
        self._sequences = sequences
        self._skip = skip
        self._projection, self._relative = projection, relative
        self._steps: list[_Step] = []
        self._told: set[str] = set()

    def add(self, number: int, metrics: dict, batch: dict) -> None:
        """Records the results of a step without waiting for them."""
        index = batch["frame_index"]
        self._steps.append(_Step(number, metrics, np.unique(batch["sequence"]), int(index.min()), int(index.max())))

    def look(self) -> dict[str, float]:
        """Waits for the recorded steps, checks and forgets them; each kind of warning is printed once per run.

        Returns:
          Mean health over them, and relative to the start; empty if none of them was finite.

        Raises:
          RunBroken: a step was refused (names the first one, what was not finite and its clips), or the output of the
            depth network is dead.
        """
        steps, self._steps = self._steps, []
        seen = []
        for step in steps:
            metrics = parallel.unreplicate(step.metrics)
            if metrics["finite"]:
                seen.append({name: float(metrics[name]) for name in health.MEASURED if name in metrics})
                if seen[-1] and health.is_dead(seen[-1]):
                    raise RunBroken(self._dead(step, seen[-1]))
            elif not self._skip:
                raise RunBroken(self._not_finite(step, metrics))
        if not seen or not seen[0]:
            return {}
        mean = {name: float(np.mean([measured[name] for measured in seen])) for name in health.MEASURED}
        self.start = self.start or mean
        compared = health.against_start(mean, self.start)
        for name, line in health.warnings_of(compared, self._projection, self._relative).items():
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
            "learning rates of the depth network (config.train.learning_rates), or set config.train.clip_norm, and "
            "start again"
        )

    def _clips(self, step: _Step) -> str:
        names = ", ".join(self._sequences[i] for i in step.sequences)
        return f"{names} frames {step.first_frame} to {step.last_frame}"
