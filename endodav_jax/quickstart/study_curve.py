"""Figures of the study, to show beside a short run's: `configs/phantom_study.py`, seed 0 (`docs/benchmarks.md`)."""

from typing import NamedTuple


class StudyPoint(NamedTuple):
    """Errors on held-out videos, aligned by `scale_shift` once per sequence.

    Attributes:
      step: of training, each on 12 frames.
      abs_rel: absolute relative error of depth.
      tae: temporal alignment error in percent.
    """

    step: int
    abs_rel: float
    tae: float


STUDY = (
    StudyPoint(0, 0.1475, 2.449),
    StudyPoint(50, 0.1270, 2.344),
    StudyPoint(100, 0.1210, 2.201),
    StudyPoint(150, 0.1216, 2.198),
    StudyPoint(200, 0.1157, 2.071),
    StudyPoint(250, 0.1157, 2.086),
)
