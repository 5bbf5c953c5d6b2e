"""The score of an epoch, as the published program validates: whole sequences, aligned, averaged over frames."""

import dataclasses

from endodav_jax.config import Config
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.evaluation.evaluate import evaluate_network
from endodav_jax.inference.estimator import DepthEstimator


@dataclasses.dataclass(frozen=True)
class ValidationScores:
    """What was measured after an epoch.

    Attributes:
      means: error (`abs_rel`, ..., `tae`) -> mean over the frames of all sequences that could be measured; errors that
        could not be measured on any (TAE without poses) are missing.
      failures: sequence -> one line that says why it could not be measured.
    """

    means: dict[str, float]
    failures: dict[str, str]


class Validation:
    """Validation sequences and how they are measured.

    Attributes:
      settings: JSON-safe; scores can be compared only where these are equal.

    Raises:
      UserError: the data set is missing or damaged.
    """

    def __init__(self, config: Config):
        self._model = config.model
        self._videos = EvaluationVideos(config.train.validation_path, config.train.validation_split)
        self._evaluate = dataclasses.replace(
            config.evaluate, path="", split=config.train.validation_split, max_len=config.train.validation_frames
        )
        self.settings = {
            "evaluate": dataclasses.asdict(self._evaluate),
            "sequences": dict(zip(self._videos.sequences, self._videos.split.lengths, strict=True)),
        }

    def score(self, params: dict) -> ValidationScores:
        """Measures a depth network's weights, a pure nested dict; a sequence that cannot be measured is left out."""
        results = evaluate_network(DepthEstimator(self._model, params), self._videos, self._evaluate)
        known = {name: value for name, value in results.means().items() if value == value}
        return ValidationScores(known, results.failures)
