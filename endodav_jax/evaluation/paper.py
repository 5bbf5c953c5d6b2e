"""The paper's figures (Zhou et al., MICCAI 2025, Tables 1 and 2), for comparison with ours."""

import dataclasses

from endodav_jax.inference.windows import AlignRule


@dataclasses.dataclass(frozen=True)
class PublishedScores:
    """One row of a table.

    Attributes:
      data: `scared` or `hamlyn`.
      method: its name, or in the ablation what was omitted.
      abs_rel, sq_rel, rmse, rmse_log, a1: means over frames, sq_rel and rmse in mm.
      tae: percent; None if not reported.
      total, trainable: parameters in millions; None if not reported.
      milliseconds: per frame, on the authors' machine.
      projection_loss, depth_alignment: for rows of the ablation; None in Table 1.
    """

    data: str
    method: str
    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    a1: float
    tae: float | None
    total: float | None = None
    trainable: float | None = None
    milliseconds: float | None = None
    projection_loss: bool | None = None
    depth_alignment: bool | None = None

    @property
    def windows(self) -> AlignRule:
        """How a row of the ablation aligns the windows of a long video."""
        return "endodav" if self.depth_alignment else "none"

    def value(self, name: str) -> float | None:
        """Returns the paper's figure for an error, by our name for it; None if the paper does not report it."""
        return getattr(self, name, None)


TABLE_1 = (
    PublishedScores("scared", "VDA", 0.241, 7.702, 18.673, 0.287, 0.597, 1.10, 111.0, None, 15.9),
    PublishedScores("scared", "EndoDAC", 0.201, 5.163, 16.421, 0.238, 0.653, 2.69, 99.0, 1.6, 15.0),
    PublishedScores("scared", "EndoDAV", 0.156, 3.113, 12.257, 0.182, 0.761, 0.39, 111.3, 0.19, 16.0),
    PublishedScores("hamlyn", "VDA", 0.389, 19.308, 23.005, 0.333, 0.513, None, 111.0, None, 15.9),
    PublishedScores("hamlyn", "EndoDAC", 0.240, 6.998, 17.240, 0.304, 0.589, None, 99.0, 1.6, 15.0),
    PublishedScores("hamlyn", "EndoDAV", 0.212, 5.040, 16.759, 0.276, 0.595, None, 111.3, 0.19, 16.0),
)


def _ablation(projection: bool, alignment: bool, *figures: float) -> PublishedScores:
    words = {(False, False): "neither", (True, False): "projection loss", (False, True): "depth alignment"}
    method = words.get((projection, alignment), "both")
    abs_rel, sq_rel, rmse, rmse_log, a1, tae = figures
    return PublishedScores(
        "scared", method, abs_rel, sq_rel, rmse, rmse_log, a1, tae,
        projection_loss=projection, depth_alignment=alignment,
    )  # fmt: skip


TABLE_2 = (
    _ablation(False, False, 0.195, 4.273, 15.768, 0.224, 0.639, 1.03),
    _ablation(True, False, 0.180, 4.259, 14.554, 0.202, 0.671, 0.80),
    _ablation(False, True, 0.162, 3.957, 13.215, 0.208, 0.665, 0.40),
    _ablation(True, True, 0.156, 3.113, 12.257, 0.182, 0.761, 0.39),
)


def published_for(data_set: str) -> tuple[PublishedScores, ...]:
    """Returns the rows of Table 1 for a prepared data set, such as `scared_video`; empty for other data sets."""
    return tuple(row for row in TABLE_1 if data_set.split("_")[0] == row.data)
