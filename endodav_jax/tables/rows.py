"""The rows of the paper's tables: network, data, and alignment of windows."""

import dataclasses
from typing import Literal, NamedTuple

from endodav_jax.evaluation.paper import TABLE_1, TABLE_2, PublishedScores
from endodav_jax.inference.windows import AlignRule

Network = Literal["vda", "endodac", "endodav", "endodav_without_projection"]
DataSet = Literal["scared", "hamlyn"]


class NetworkEntry(NamedTuple):
    """A network in the tables.

    Attributes:
      family: a name of `models.registry.FAMILIES`.
      starts: options whose weights its training can start from, the published one first; empty if it is not trained.
      projection: whether it is trained with projection loss.
    """

    family: str
    starts: tuple[Literal["depth_anything", "vda"], ...]
    projection: bool = True


NETWORKS: dict[Network, NetworkEntry] = {
    "vda": NetworkEntry("vda", ()),
    "endodac": NetworkEntry("endodac", ("depth_anything", "vda")),
    "endodav": NetworkEntry("endodav", ("vda",)),
    "endodav_without_projection": NetworkEntry("endodav", ("vda",), projection=False),
}

DATA_NAMES: dict[DataSet, str] = {"scared": "SCARED", "hamlyn": "Hamlyn"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
      data: evaluation data; training is always on SCARED, so Hamlyn is zero-shot.
      method: its name in the table.
      network: the weights.
      windows: how windows of a long video are aligned; EndoDAC has none.
      paper: the paper's figures.
    """

    data: DataSet
    method: str
    network: Network
    windows: AlignRule
    paper: PublishedScores

    @property
    def name(self) -> str:
        """Human-readable name: `EndoDAV on SCARED`."""
        return f"{self.method} on {DATA_NAMES[self.data]}"


@dataclasses.dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
      name: its name in the command.
      title: title of the table.
      rows: in the paper's order.
    """

    name: str
    title: str
    rows: tuple[Row, ...]


# Method -> its network and its own rule for aligning windows.
_METHODS: dict[str, tuple[Network, AlignRule]] = {
    "VDA": ("vda", "vda"),
    "EndoDAC": ("endodac", "none"),
    "EndoDAV": ("endodav", "endodav"),
}


def _of_method(paper: PublishedScores) -> Row:
    return Row(_data_of(paper), paper.method, *_METHODS[paper.method], paper)


def _of_ablation(paper: PublishedScores) -> Row:
    projection, aligned = paper.projection_loss, paper.depth_alignment
    method = f"projection loss {'on' if projection else 'off'}, depth alignment {'on' if aligned else 'off'}"
    network: Network = "endodav" if projection else "endodav_without_projection"
    return Row(_data_of(paper), method, network, paper.windows, paper)


def _data_of(paper: PublishedScores) -> DataSet:
    return next(data for data in DATA_NAMES if data == paper.data)


TABLES = {
    table.name: table
    for table in (
        Table(
            "table1",
            "Table 1: VDA zero-shot, EndoDAC and EndoDAV trained on SCARED; Hamlyn zero-shot",
            tuple(_of_method(paper) for paper in TABLE_1),
        ),
        Table(
            "table2",
            "Table 2: EndoDAV's projection loss and depth-aligned inference, each left out, on SCARED",
            tuple(_of_ablation(paper) for paper in TABLE_2),
        ),
    )
}
