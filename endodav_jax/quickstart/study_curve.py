"""Figures of the study, to show beside a short run's: `endodav reproduce study` (`docs/benchmarks.md`)."""

from typing import NamedTuple

STEPS = 200  # of its trainings, each on 12 frames


class StudyErrors(NamedTuple):
    """Errors on the held-out videos of one seed, aligned by `scale_shift` once per sequence, before and after training.

    Attributes:
      abs_rel: absolute relative error of depth.
      tae: temporal alignment error in percent.
    """

    abs_rel: tuple[float, float]
    tae: tuple[float, float]


# By seed, which is another patient.
STUDY = {
    0: StudyErrors((0.1538, 0.1050), (2.37, 1.68)),
    1: StudyErrors((0.1456, 0.1164), (2.05, 1.70)),
    2: StudyErrors((0.1808, 0.1310), (2.18, 1.57)),
}
