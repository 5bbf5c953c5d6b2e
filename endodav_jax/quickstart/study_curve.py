"""Learning curves of the study, to show beside a short run's: `docs/benchmarks.md`, "Learning curves"."""

from typing import NamedTuple

STEPS = (0, 25, 50, 75, 100, 125, 150, 175, 200)  # each on 12 frames


class StudyErrors(NamedTuple):
    """Errors of EndoDAV on the held-out videos of one seed, aligned by `scale_shift` once per sequence, at `STEPS`.

    Attributes:
      abs_rel: absolute relative error of depth.
      tae: temporal alignment error in percent.
    """

    abs_rel: tuple[float, ...]
    tae: tuple[float, ...]


# By seed, which is another patient.
STUDY = {
    0: StudyErrors(
        (0.1538, 0.1285, 0.1113, 0.1082, 0.1099, 0.1041, 0.1042, 0.1048, 0.1049),
        (2.371, 1.856, 1.727, 1.641, 1.520, 1.583, 1.630, 1.666, 1.634),
    ),
    1: StudyErrors(
        (0.1455, 0.1299, 0.1283, 0.1283, 0.1226, 0.1163, 0.1195, 0.1186, 0.1150),
        (2.053, 1.802, 1.826, 1.787, 1.724, 1.701, 1.681, 1.659, 1.655),
    ),
    2: StudyErrors(
        (0.1811, 0.1565, 0.1575, 0.1481, 0.1497, 0.1367, 0.1354, 0.1295, 0.1314),
        (2.187, 2.028, 1.747, 1.658, 1.604, 1.583, 1.571, 1.572, 1.540),
    ),
}
