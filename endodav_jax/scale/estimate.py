"""One factor for a clip, from many measurements of it."""

import dataclasses

import numpy as np

from endodav_jax.errors import UserError

FEWEST = 8  # minimum number of measurements in a frame
TUKEY = 4.685  # of the biweight, in robust standard deviations (95% efficiency)
ROUNDS = 20
MM_PER_M = 1000.0
NORMAL = 1.4826  # from median absolute deviation to standard deviation


@dataclasses.dataclass(frozen=True)
class Scale:
    """A clip's factor from the depth's unit to millimetres.

    Attributes:
      factor: mm of one unit.
      low, high: interval of the factors of 95% of its frames; of single measurements, if there is only one frame; None
        if its error is not known.
      source: human-readable source.
      frames: number of frames used.
      measurements: number of measurements.
    """

    factor: float
    low: float | None
    high: float | None
    source: str
    frames: int
    measurements: int

    def described(self) -> dict:
        """Returns the entry for `meta.json`."""
        if self.low is None or self.high is None:
            return {"mm_per_unit": self.factor, "source": self.source}
        return {
            "mm_per_unit": self.factor,
            "interval_95": [self.low, self.high],
            "interval": "factors of 95% of the frames (of the measurements, where there is one frame)",
            "source": self.source,
            "frames": self.frames,
            "measurements": self.measurements,
        }

    def line(self) -> str:
        """One line for the terminal."""
        return f"scale: {self.told()}"

    def told(self) -> str:
        """The factor, its interval and its source, for people."""
        if self.low is None or self.high is None:
            return f"{self.factor:.4g} mm per unit from {self.source}, whose error is not known"
        return (
            f"{self.factor:.4g} mm per unit ({self.low:.4g} to {self.high:.4g}) from {self.source}, "
            f"{self.frames} frames"
        )


def metric_weights() -> Scale:
    """The factor for a network whose output is in metres, with unknown uncertainty."""
    return Scale(MM_PER_M, None, None, "metric weights", 0, 0)


def one_scale(ratios: dict[int, np.ndarray], source: str, fewest: int = FEWEST) -> Scale:
    """Returns the factor that most frames agree on.

    Computes the median of the log ratios in each frame, and the Tukey biweight mean of these, so outliers among frames
    and pixels have little influence.

    Args:
      ratios: frame -> [n] measurements of mm over the depth's unit.
      source: their source.
      fewest: minimum number of measurements per frame.

    Raises:
      UserError: no frame has enough measurements.
    """
    logs = {frame: np.log(values[np.isfinite(values) & (values > 0)]) for frame, values in ratios.items()}
    logs = {frame: values for frame, values in logs.items() if len(values) >= fewest}
    if not logs:
        raise UserError(
            f"--scale {source}: no frame has {fewest} measurements where depth is known; check that it belongs to "
            "this clip"
        )
    medians = np.array([np.median(values) for values in logs.values()])
    samples = medians if len(medians) > 1 else next(iter(logs.values()))
    middle, spread = _biweight(samples)
    half = 1.96 * spread
    return Scale(
        float(np.exp(middle)),
        float(np.exp(middle - half)),
        float(np.exp(middle + half)),
        source,
        len(logs),
        int(sum(len(values) for values in logs.values())),
    )


def _biweight(values: np.ndarray) -> tuple[float, float]:
    """Returns the biweight mean and a robust standard deviation."""
    middle = float(np.median(values))
    spread = NORMAL * float(np.median(np.abs(values - middle)))
    if spread == 0:
        return middle, 0.0
    for _ in range(ROUNDS):
        off = (values - middle) / (TUKEY * spread)
        weight = np.where(np.abs(off) < 1, (1 - off**2) ** 2, 0)
        middle = float((weight * values).sum() / weight.sum())
    return middle, spread
