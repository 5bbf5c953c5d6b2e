"""The score of an epoch, as the published program validates: whole sequences, aligned, averaged over frames."""

import dataclasses

from endodav_jax.config import Config
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.evaluation.predict import predicted_depth
from endodav_jax.evaluation.sequence import means_and_intervals, score_sequence
from endodav_jax.inference.estimator import DepthEstimator


class Validation:
    """Validation sequences and how they are measured.

    Raises:
      UserError: the data set is missing or damaged.
    """

    def __init__(self, config: Config):
        self._model = config.model
        self._videos = EvaluationVideos(config.train.validation_path, config.train.validation_split)
        self._evaluate = dataclasses.replace(config.evaluate, max_len=config.train.validation_frames)

    def score(self, params: dict) -> dict[str, float]:
        """Returns mean errors (`abs_rel`, ..., `tae`) of a depth network's weights, a pure nested dict."""
        estimator = DepthEstimator(self._model, params)
        scores = []
        for sequence in self._videos.sequences:
            with predicted_depth(estimator, self._videos, sequence, self._evaluate) as depth:
                scores.append(
                    score_sequence(
                        sequence,
                        lambda sequence=sequence: self._videos.frames(sequence, self._evaluate.max_len or None),
                        depth,
                        self._evaluate,
                    )
                )
        return {name: value for name, value in means_and_intervals(scores)[0].items() if value == value}
