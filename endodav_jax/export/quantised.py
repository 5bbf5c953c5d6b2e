"""A network's per-frame encoder in int8 (OpenVINO, NNCF), and what that costs in accuracy, measured."""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from endodav_jax.errors import UserError
from endodav_jax.export.openvino_file import quantise

QUANTISED = ("encode", "frame")  # where most of the work is; the small decoders stay in float
CALIBRATION_FRAMES = 32
MOST_LOSS = 0.02  # of abs rel, beyond which int8 is refused unless forced


@dataclasses.dataclass(frozen=True)
class Cost:
    """What int8 costs: the mean relative change of the depth that the float network finds.

    Attributes:
      change: mean |int8 - float| / float of depth over the frames compared.
      frames: how many.
    """

    change: float
    frames: int

    def sentence(self) -> str:
        """One line for the card and the user."""
        return f"int8 changes depth by {self.change:.1%} on average ({self.frames} frames)"


def quantise_parts(folder: Path, parts: dict[str, str], frames: Float32[np.ndarray, "N 3 H W"]) -> dict[str, str]:
    """Writes int8 files beside the ONNX files of a folder, calibrated on frames; returns their names by part."""
    written = {}
    for part in set(QUANTISED) & set(parts):
        written[part] = f"{part}.int8.xml"
        quantise(folder / parts[part], folder / written[part], [(frame[None],) for frame in frames])
    return written


def check_cost(cost: Cost, forced: bool) -> None:
    """Refuses int8 where it costs too much.

    Raises:
      UserError: the change is above 2% and it was not forced.
    """
    if cost.change > MOST_LOSS and not forced:
        raise UserError(f"--precision int8: {cost.sentence()}, above {MOST_LOSS:.0%}; add --force to take it anyway")


def measured_cost(plain: Float32[np.ndarray, "N H W"], int8: Float32[np.ndarray, "N H W"]) -> Cost:
    """Compares two networks' disparities of the same frames, which share scale and shift."""
    floor = 0.02 * float(plain.max())  # depth beyond fifty times the nearest says nothing
    ours, theirs = np.maximum(plain, floor), np.maximum(int8, floor)
    return Cost(float(np.mean(np.abs(ours / theirs - 1))), len(plain))
