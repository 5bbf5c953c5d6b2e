"""The loss of accuracy from int8: abs rel of both networks on rendered sequences, computed as in `evaluate`."""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.predict import MM_PER_M
from endodav_jax.evaluation.sequence import score_sequence
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.inference.network import Network
from endodav_jax.runtimes.calibration import rendered

SEED = 7102  # not the seed used for calibration
FRAMES = 24  # per family


@dataclasses.dataclass(frozen=True)
class Cost:
    """The loss of accuracy from int8 for one use of the network.

    Attributes:
      use: `video`, `stream` or, for networks that process frames independently, `frames`.
      float32, int8: abs rel on rendered sequences, aligned as in `evaluate`.
      frames: number of frames.
    """

    use: str
    float32: float
    int8: float
    frames: int

    @property
    def share(self) -> float:
        """Growth of abs rel."""
        return self.int8 / self.float32 - 1

    def __str__(self) -> str:
        change = f"abs rel {self.float32:.4f} -> {self.int8:.4f} ({self.share:+.1%})"
        return f"{self.use}: {change} on {self.frames} rendered frames"


def cost_of(use: str, plain: Network, int8: Network) -> Cost:
    """Abs rel of both networks on rendered sequences, for a video or for a live source."""
    depth_of = _stream_depth if use == "stream" else _video_depth
    truth = [list(group) for _, group in itertools.groupby(rendered(SEED, FRAMES), lambda frame: frame.sequence)]
    errors = [[_abs_rel(network, frames, depth_of) for frames in truth] for network in (plain, int8)]
    before, after = np.mean(errors, axis=1).tolist()
    return Cost(use, before, after, sum(map(len, truth)))


def _abs_rel(network: Network, truth: list[EvaluationFrame], depth_of: Callable) -> float:
    disparity = depth_of(DepthEstimator.of(network), [frame.frame for frame in truth])
    depth = network.config.depth(disparity) * np.float32(MM_PER_M if network.config.metric else 1)
    return score_sequence(truth[0].sequence, lambda: iter(truth), depth, EvaluateConfig()).means()["abs_rel"]


def _video_depth(estimator: DepthEstimator, frames: list[np.ndarray]) -> Float32[np.ndarray, "N H W"]:
    return estimator.infer(frames)


def _stream_depth(estimator: DepthEstimator, frames: list[np.ndarray]) -> Float32[np.ndarray, "N H W"]:
    stream = estimator.stream()
    return np.stack([stream.push(frame) for frame in frames])
