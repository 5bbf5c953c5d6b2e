"""Runs the rows of a table in order; a row that fails is named, and the others still run."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.errors import UserError
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.evaluate import evaluate_network
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.inference.timing import milliseconds_per_frame
from endodav_jax.models.build import abstract_depth_model
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.groups import parameter_table, trainable_groups, trained_and_total
from endodav_jax.tables.given import missing_options
from endodav_jax.tables.result_store import stored_result
from endodav_jax.tables.row_inputs import RowInputs, Split, Weights
from endodav_jax.tables.rows import Row, Table
from endodav_jax.version import __version__


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of a row.

    Attributes:
      row: the row.
      figures: our name for a column -> figure, None if it could not be computed; empty for a row that was not run.
      about: the evaluation data: `phantom`, `split`, `sequences`, `frames`, `preset`, `device`; likewise.
      reason: one line that says why the row was not run; empty if it was.
      missing: missing options of the command that the row requires.
      failures: sequence -> one line, for sequences of the row that could not be evaluated.
      left_out: which sequences were missing for evaluation or training.
      notes: further notes for the reader.
    """

    row: Row
    figures: dict[str, float | None] = dataclasses.field(default_factory=dict)
    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    reason: str = ""
    missing: tuple[str, ...] = ()
    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the row was run with all its sequences, and none of them failed."""
        return not (self.reason or self.failures or self.left_out)

    def to_json(self) -> dict:
        """Returns the row, with the paper's, as JSON-compatible values."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "row"}
        row = {"data": self.row.data, "method": self.row.method, "windows": self.row.windows}
        return row | {"paper": dataclasses.asdict(self.row.paper)} | fields


def run_table(table: Table, inputs: RowInputs, say: Callable[[str], None] = print) -> list[Outcome]:
    """Runs every row that can be run.

    Args:
      table: the table.
      inputs: data sets and networks.
      say: called with a line when a row starts and when it is done.

    Raises:
      Preempted: SIGTERM was received while a network was being trained.
    """
    outcomes = []
    for number, row in enumerate(table.rows, 1):
        missing = () if inputs.size is not None else missing_options(row, inputs.given)
        if missing:
            options = " and ".join(f"--{option}" for option in missing)
            outcomes.append(Outcome(row, reason=f"needs {options}", missing=missing))
        else:
            say(f"[{number}/{len(table.rows)}] {row.name}")
            try:
                outcomes.append(measure(row, inputs))
            except UserError as error:
                outcomes.append(Outcome(row, reason=str(error)))
        if outcomes[-1].reason:
            say(f"[{number}/{len(table.rows)}] {row.name}: not run: {outcomes[-1].reason}")
    return outcomes


def measure(row: Row, inputs: RowInputs) -> Outcome:
    """Runs one row, or returns its stored result.

    Raises:
      UserError: its data or its network are not available.
      Preempted: see `RowInputs.network`.
    """
    split, weights = inputs.evaluation_split(row.data), inputs.network(row.network)
    folder = inputs.workdir / "results"
    scores = _scores(row, split, weights, folder)
    pace = _pace(row, weights, folder)
    if not scores["overall"]["sequences"]:
        raise UserError("; ".join(f"{name}: {why}" for name, why in scores["failures"].items()))
    return Outcome(
        row,
        {name: scores["overall"][name] for name in ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3", "tae")}
        | _millions(weights.config)
        | {"milliseconds": pace["milliseconds"]},
        {
            "phantom": inputs.size is not None,
            "split": split.split,
            "sequences": scores["overall"]["sequences"],
            "frames": scores["overall"]["frames"],
            "preset": weights.config.preset,
            "device": pace["device"],
            "checkpoint": str(weights.folder),
        },
        failures=scores["failures"],
        left_out=(*split.left_out, *weights.left_out),
        notes=weights.notes,
    )


def _scores(row: Row, split: Split, weights: Weights, folder: Path) -> dict:
    """Returns `Results.to_json()` of a row."""
    config = EvaluateConfig(split=split.split, windows=row.windows)

    def evaluate() -> dict:
        estimator = DepthEstimator(weights.config, weights.params())
        videos = EvaluationVideos(split.folder, split.split)
        return evaluate_network(estimator, videos, config, row.name).to_json()

    identity = {
        "evaluate": dataclasses.asdict(config),
        "data": split.digest,
        "weights": weights.digest,
        "model": dataclasses.asdict(weights.config),
        "version": __version__,
    }
    return stored_result(folder, f"{row.data}-{row.network}-{row.windows}", identity, evaluate)[0]


def _pace(row: Row, weights: Weights, folder: Path) -> dict:
    """Returns `milliseconds` per frame on this machine's `device`."""
    device = jax.devices()[0].device_kind

    def clock() -> dict:
        estimator = DepthEstimator(weights.config, weights.params())
        return {"milliseconds": milliseconds_per_frame(estimator, align=row.windows), "device": device}

    model = dataclasses.asdict(weights.config)
    identity = {"model": model, "windows": row.windows, "device": device, "jax": jax.__version__}
    return stored_result(
        folder, f"pace-{weights.config.family}-{weights.config.preset}-{row.windows}", identity, clock
    )[0]


def _millions(config: DepthModelConfig) -> dict[str, float | None]:
    """Returns a network's `total` and `trainable` parameters in millions."""
    trained, total = trained_and_total(parameter_table(abstract_depth_model(config), trainable_groups(config)))
    return {"total": total / 1e6, "trainable": trained / 1e6 if trained else None}
