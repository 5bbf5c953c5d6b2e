"""Evaluates all sequences of a split: a network's depth or another method's predictions, by the same rule."""

import contextlib
import dataclasses
import functools
import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.errors import UserError
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.depth_errors import DEPTH_ERRORS
from endodav_jax.evaluation.motion import MotionEstimator, MotionScores, score_motion
from endodav_jax.evaluation.predict import predicted_depth
from endodav_jax.evaluation.predictions import check_predictions, read_predictions
from endodav_jax.evaluation.sequence import TEMPORAL_ERRORS, SequenceScores, means_and_intervals, score_sequence
from endodav_jax.files import finite
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.models import DepthModelConfig
from endodav_jax.version import __version__

PUBLISHED = DepthModelConfig()
ERRORS = (*DEPTH_ERRORS, *TEMPORAL_ERRORS)
_PACKAGES = ("jax", "flax", "numpy", "scipy", "opencv-python-headless")

# Called with each sequence's scores and its predicted depth [H,W] by number, which is only valid during the call.
OnSequence = Callable[[SequenceScores, Sequence[np.ndarray]], None]
# Called with a function that yields a sequence's frames afresh, and its predicted depth [N,H,W], to be corrected in
# place.
Correct = Callable[[Callable[[], Iterator[EvaluationFrame]], np.ndarray], None]


@dataclasses.dataclass(frozen=True)
class Results:
    """The results on a split.

    Attributes:
      scores: of the sequences that could be evaluated, in the order of the split.
      failures: sequence -> one line that says why it could not be evaluated.
      label: what was evaluated: a checkpoint, a method.
      config: the evaluation settings.
      data_set: name of the prepared data set, such as `scared_video`.
      split: name of its split.
      motion: sequence -> errors of the predicted camera; empty without a pose network.
      runtime: the runtime that ran the network and why it was chosen, and the loss of accuracy from int8.
    """

    scores: tuple[SequenceScores, ...]
    failures: dict[str, str]
    label: str
    config: EvaluateConfig
    data_set: str = ""
    split: str = ""
    motion: dict[str, MotionScores] = dataclasses.field(default_factory=dict)
    runtime: str = ""

    def complete(self) -> "Results":
        """Returns these results; raises `UserError` if a sequence failed, without which means would be too good."""
        if self.failures:
            what = f"{self.label}: " if self.label else ""
            raise UserError(what + "; ".join(f"{sequence}: {why}" for sequence, why in self.failures.items()))
        return self

    def means(self) -> dict[str, float]:
        """Means over all frames of all sequences by the names of `ERRORS`; NaN for those that could not be computed."""
        return self._means_and_intervals()[0]

    def intervals(self) -> dict[str, tuple[float, float]]:
        """95% intervals of `means`; NaN if there is none."""
        return self._means_and_intervals()[1]

    def motion_means(self) -> dict[str, float]:
        """Means of `ate` (mm) and `rotation_error` (radians) over all snippets; empty if there are none."""
        measured = [scores for scores in self.motion.values() if len(scores.trajectory_errors)]
        if not measured:
            return {}
        return {
            "ate": float(np.concatenate([scores.trajectory_errors for scores in measured]).mean()),
            "rotation_error": float(np.concatenate([scores.rotation_errors for scores in measured]).mean()),
        }

    def alignment_line(self) -> str:
        """Describes how predictions were aligned to the ground truth."""
        fitted = "fitted on each frame" if self.config.per_frame else "fitted once per sequence"
        return f"{self.config.align}, {fitted}"

    def to_json(self) -> dict:
        """Returns everything as JSON-compatible values; unknown values are None.

        `overall` and every entry of `sequences` use the names of `ERRORS`, with their 95% intervals under `intervals`.
        """
        return {
            "label": self.label,
            "data_set": self.data_set,
            "split": self.split,
            "alignment": {"rule": self.config.align, "per_frame": self.config.per_frame},
            "overall": {
                "sequences": len(self.scores),
                "frames": sum(score.frames for score in self.scores),
                **_numbers(self.means(), self.intervals()),
                **self.motion_means(),
            },
            "sequences": {score.sequence: self._sequence_json(score) for score in self.scores},
            "failures": dict(self.failures),
            "runtime": self.runtime,
            "units": "sq_rel, rmse, ate in mm; tae in percent; rotation_error in radians; intrinsics in pixels",
            "config": dataclasses.asdict(self.config),
            "versions": versions(),
        }

    def _means_and_intervals(self):
        if self.scores:
            return means_and_intervals(self.scores)
        nothing = float("nan")
        return dict.fromkeys(ERRORS, nothing), dict.fromkeys(ERRORS, (nothing, nothing))

    def _sequence_json(self, score: SequenceScores) -> dict:
        about = {
            "frames": score.frames,
            "frames_measured": len(score.depth),
            "pairs_measured": len(score.temporal),
            "no_depth": score.no_depth,
            "contrary": score.contrary,
            **_numbers(*means_and_intervals([score])),
        }
        if score.alignment is not None:
            about["scale_shift"] = [_number(score.alignment.scale), _number(score.alignment.shift)]
        camera = self.motion.get(score.sequence)
        if camera is not None:
            about |= camera.means()
            if camera.intrinsics is not None:
                about["intrinsics"] = {"predicted": camera.intrinsics.tolist(), "true": camera.true_intrinsics.tolist()}
        return about


def evaluate_network(
    estimator: DepthEstimator,
    videos: EvaluationVideos,
    config: EvaluateConfig,
    label: str = "",
    on_sequence: OnSequence | None = None,
    motion: MotionEstimator | None = None,
    correct: Correct | None = None,
) -> Results:
    """Evaluates a network on every sequence; sequences that cannot be evaluated are named in `failures`.

    Args:
      estimator: the depth network.
      videos: the sequences.
      config: the evaluation settings.
      label: a description of the network, for reports.
      on_sequence: see `OnSequence`.
      motion: also evaluate the camera motion predicted by this pose network.
      correct: called with each sequence's depth before it is evaluated.

    Raises:
      ValueError: `config.steady`, and nothing to correct by.
    """
    if config.steady and correct is None:
        raise ValueError("evaluate.steady: give `correct`, as reconstruction.steady.correction_of returns it")
    cameras: dict[str, MotionScores] = {}

    @contextlib.contextmanager
    def maps(sequence: str):
        with predicted_depth(estimator, videos, sequence, config) as depth:
            if correct is not None:
                correct(lambda: videos.frames(sequence, len(depth)), depth)
            yield depth

    def camera(sequence: str) -> None:
        if motion is not None:
            found = score_motion(motion, videos.frames(sequence, config.max_len or None))
            if found is not None:
                cameras[sequence] = found

    scores, failures = _score_all(videos, config, maps, on_sequence, camera)
    return _results(scores, failures, label, config, videos, cameras)


def evaluate_predictions(
    folder: Path | str,
    videos: EvaluationVideos,
    config: EvaluateConfig,
    label: str = "",
    on_sequence: OnSequence | None = None,
    model: DepthModelConfig = PUBLISHED,
) -> Results:
    """Evaluates another method's predictions; see `predictions.read_predictions` for what a folder may contain.

    `config.kind` says whether they are depth or disparity; disparity is converted to depth as for `model`.  One frame
    is in memory at a time.  If `config.max_len` is set, predictions for the whole sequence are accepted too.

    Raises:
      UserError: there is no such folder, or it is the prediction of one sequence and there are several.
    """
    folder = Path(folder)
    check_predictions(folder, videos.sequences)

    @contextlib.contextmanager
    def maps(sequence: str):
        with read_predictions(folder, sequence, config.kind, len(videos.sequences) == 1) as found:
            whole = videos.length(sequence)
            wanted = min(whole, config.max_len or whole)
            if len(found) not in (whole, wanted):
                raise ValueError(f"{len(found)} predictions for {wanted} frames of ground truth; give one per frame")
            yield _AsDepth(found, wanted, config, model)

    scores, failures = _score_all(videos, config, maps, on_sequence)
    return _results(scores, failures, label, config, videos, {})


def versions() -> dict[str, str]:
    """Returns package -> version for everything that the numbers may depend on."""
    packages = {}
    for name in _PACKAGES:
        with contextlib.suppress(ImportError):  # OpenCV is distributed under several names
            packages[name] = version(name)
    return {"endodav_jax": __version__, "python": platform.python_version(), **packages}


class _AsDepth(Sequence[np.ndarray]):
    """The first `length` maps of another method as depth, computed lazily."""

    def __init__(
        self,
        maps: Sequence[np.ndarray] | np.ndarray,
        length: int,
        config: EvaluateConfig,
        model: DepthModelConfig,
    ):
        self._maps, self._length, self._config, self._model = maps, length, config, model

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number):
        values = np.asarray(self._maps[number], np.float32)
        if self._config.kind == "depth":
            return values
        return self._model.depth(np.maximum(values, 0))


def _score_all(
    videos: EvaluationVideos,
    config: EvaluateConfig,
    maps: Callable[[str], contextlib.AbstractContextManager[Sequence[np.ndarray]]],
    on_sequence: OnSequence | None,
    camera: Callable[[str], None] = lambda sequence: None,
) -> tuple[list[SequenceScores], dict[str, str]]:
    scores, failures = [], {}
    for sequence in videos.sequences:
        with contextlib.ExitStack() as stack:
            try:
                if not videos.length(sequence):
                    raise ValueError("has no frames")
                depth = stack.enter_context(maps(sequence))
                score = score_sequence(
                    sequence,
                    functools.partial(videos.frames, sequence, config.max_len or None),
                    depth,
                    config,
                )
                camera(sequence)
            except (ValueError, UserError) as error:
                failures[sequence] = str(error).removeprefix(f"{sequence}: ").replace("\n", " ")
                continue
            scores.append(score)
            if on_sequence is not None:
                on_sequence(score, depth)
    return scores, failures


def _results(scores, failures, label, config, videos: EvaluationVideos, cameras) -> Results:
    # The path of a data set is NAME/CONFIG/VERSION.
    return Results(
        tuple(scores), failures, label, config, videos.split.folder.parent.parent.name, videos.split.split, cameras
    )


def _numbers(means: dict[str, float], intervals: dict[str, tuple[float, float]]) -> dict:
    known = {name: _number(value) for name, value in means.items()}
    return known | {"intervals": {name: [_number(end) for end in ends] for name, ends in intervals.items()}}


def _number(value: float) -> float | None:
    return finite(float(value))
