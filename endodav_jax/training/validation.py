"""Validation during a run, as in the published program: whole sequences, aligned, averaged over frames.

The settings are those of `evaluate`, but depth is not steadied, whatever `evaluate.steady` says: what is compared
from one validation to the next is the network alone, and tracking a camera through every sequence takes time.
"""

import dataclasses
from collections.abc import Mapping

from endodav_jax.config import Config
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.evaluation.evaluate import evaluate_network
from endodav_jax.inference.estimator import DepthEstimator


@dataclasses.dataclass(frozen=True)
class ValidationScores:
    """The results of a validation.

    Attributes:
      means: error (`abs_rel`, ..., `tae`) -> mean over the frames of all sequences that could be evaluated; errors that
        are available for none (TAE without poses) are missing.
      failures: sequence -> one line that says why it could not be evaluated.
    """

    means: dict[str, float]
    failures: dict[str, str]


class Validation:
    """Validation sequences and the evaluation settings.

    Attributes:
      settings: JSON-compatible; scores are comparable only if these are equal.

    Raises:
      UserError: the data set is missing or damaged.
    """

    def __init__(self, config: Config):
        self._model = config.model
        self._videos = EvaluationVideos(config.train.validation_path, config.train.validation_split)
        self._evaluate = dataclasses.replace(
            config.evaluate,
            path="",
            split=config.train.validation_split,
            max_len=config.train.validation_frames,
            steady=False,
        )
        self.settings = {
            "evaluate": dataclasses.asdict(self._evaluate),
            "sequences": dict(zip(self._videos.sequences, self._videos.split.lengths, strict=True)),
        }

    def score(self, params: dict) -> ValidationScores:
        """Evaluates a depth network's weights, a pure nested dict; sequences that cannot be evaluated are skipped."""
        results = evaluate_network(DepthEstimator(self._model, params), self._videos, self._evaluate)
        known = {name: value for name, value in results.means().items() if value == value}
        return ValidationScores(known, results.failures)


def compared(now: Mapping[str, float], start: Mapping[str, float]) -> str:
    """Returns what a validation found, as words: `abs_rel 0.12 (-25%), rmse 9.1 (-20%)`, against the run's start."""
    words = []
    for name in ("abs_rel", "rmse", "tae"):
        if name in now:
            change = f" ({100 * (now[name] / start[name] - 1):+.0f}%)" if start.get(name) else ""
            words.append(f"{name} {now[name]:.4g}{change}")
    return ", ".join(words)
