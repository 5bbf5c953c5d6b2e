"""The rows of the paper's tables on a rendered patient, each trained on the same videos, over several seeds.

A seed is another patient: other scenes to train on, and others to measure on.
"""

import dataclasses
import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from endodav_jax.checkpoints import MODEL_FOLDER, load_model
from endodav_jax.checkpoints.store import is_checkpoint
from endodav_jax.checkpoints.transfer import sha256_of_source
from endodav_jax.config import Config
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.data.rendered import with_rendered_phantom
from endodav_jax.errors import EXIT_OK, EXIT_PREEMPTED
from endodav_jax.evaluation.evaluate import evaluate_network, versions
from endodav_jax.files import json_text, whole_file
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.inference.windows import AlignRule
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.plain_table import plain_table
from endodav_jax.reconstruction.steady import correction_of
from endodav_jax.report import Section, definitions, table, text, write_report
from endodav_jax.report.evaluation import SHOWN
from endodav_jax.tables.result_store import digest_of_identity, stored_result
from endodav_jax.tables.row_inputs import Preempted
from endodav_jax.tables.rows import NETWORKS, Network
from endodav_jax.tables.text import COLUMNS
from endodav_jax.training.checks import check_config
from endodav_jax.training.config import LearningRates
from endodav_jax.training.initial import check_weights
from endodav_jax.training.loop import train
from endodav_jax.training.path_camera import solved_paths
from endodav_jax.training.run_lock import folder_of_this_run
from endodav_jax.version import __version__

TITLE = "The paper's rows on a rendered patient: mean over seeds, and their standard deviation"
_TRAINED_BY = ("seed", "weights", "model", "data", "train")  # sections that a network depends on
# Thirty times the published rates, of the heads ten times: a study has less than a hundredth of the published steps,
# and EndoDAC, which is made to see frames without normalisation, starts worse than the network whose weights it takes.
ENDODAC_RATES = {"depth_heads": 1e-3} | dict.fromkeys(
    ("spatial_adapters", "spatial_adapter_vectors", "residual_blocks"), 3e-3
)


class StudyRow(NamedTuple):
    """A way to estimate depth.

    Attributes:
      network: the weights; `vda` is the start of all trainings, unchanged.
      windows: how windows of a long video are aligned.
      steady: whether depth is steadied along the camera's path, which the paper does not do.
    """

    network: Network
    windows: AlignRule
    steady: bool = False


ROWS: Mapping[str, StudyRow] = {
    "VDA, zero-shot": StudyRow("vda", "vda"),
    "EndoDAC": StudyRow("endodac", "none"),
    "EndoDAV, neither": StudyRow("endodav_without_projection", "none"),
    "EndoDAV, projection loss alone": StudyRow("endodav", "none"),
    "EndoDAV, depth alignment alone": StudyRow("endodav_without_projection", "endodav"),
    "EndoDAV": StudyRow("endodav", "endodav"),
    "VDA, zero-shot, steadied": StudyRow("vda", "endodav", steady=True),
    "EndoDAV, steadied": StudyRow("endodav", "endodav", steady=True),
}


def study(config: Config, seeds: int, workdir: Path) -> int:
    """Trains and evaluates every row for every seed, and writes `study.txt`, `study.json` and `study.html`.

    Rerun to resume; what is finished is reused.

    Args:
      config: a training configuration with a phantom and weights to start from, such as `phantom_study`.
      seeds: how many; the first is the configuration's.
      workdir: folder for everything.

    Returns:
      The exit code: `EXIT_PREEMPTED` if SIGTERM ended a training.

    Raises:
      UserError: the configuration is invalid, or does not fit its weights.
    """
    for row in ROWS.values():
        if NETWORKS[row.network].starts:
            check_config(trained_config(config, row.network))
    check_weights(config)
    figures: dict[str, list[dict]] = {name: [] for name in ROWS}
    try:
        for seed in range(seeds):
            patient = _Patient(config, seed, workdir)
            for name, row in ROWS.items():
                figures[name].append(patient.figures(name, row))
    except Preempted as stopped:
        print(stopped, file=sys.stderr)
        return EXIT_PREEMPTED
    cells = study_cells(figures)
    printed = "\n".join([TITLE, "", *plain_table(cells, rule=True)])
    about = {"seeds": seeds, "steps": config.train.steps, "start": config.weights, **vars(config.data.phantom)}
    contents = {"title": TITLE, "about": about, "rows": figures, "versions": versions()}
    for suffix, words in (("txt", printed), ("json", json_text(contents))):
        with whole_file(workdir / f"study.{suffix}", overwrite=True) as part:
            part.write_text(words.rstrip("\n") + "\n", encoding="utf-8")
    blocks = [table(cells[0], cells[1:], strong=[list(ROWS).index("EndoDAV")])]
    notes = text("Changes are relative to the first row of the same seed.")
    write_report(workdir / "study.html", TITLE, [Section("Rows", [*blocks, notes, definitions(about)])])
    print(f"\n{printed}\n\n{workdir}: study.txt, study.json, study.html")
    return EXIT_OK


def study_cells(figures: Mapping[str, list[dict]]) -> list[list[str]]:
    """Returns the header and a row of text for each row of the study: mean, deviation, and change in abs rel and TAE.

    Args:
      figures: row -> its figures for each seed, by our names; the first row is what the others are compared with.
    """
    first = next(iter(figures.values()))
    cells = [["", *(COLUMNS[name][0] for name in SHOWN), "abs rel, change", "TAE, change"]]
    for name, of_seeds in figures.items():
        line = [name]
        for column in SHOWN:
            digits = COLUMNS[column][1]
            line.append(_spread([found[column] for found in of_seeds], f".{digits}f"))
        for column in ("abs_rel", "tae"):
            changes = [100 * (a[column] / b[column] - 1) for a, b in zip(of_seeds, first, strict=True)]
            line.append("-" if of_seeds is first else _spread(changes, "+.0f") + "%")
        cells.append(line)
    return cells


def trained_config(config: Config, network: Network) -> Config:
    """Returns the configuration of a row's training, which sees the same frames for as many steps."""
    entry, train = NETWORKS[network], config.train
    if not entry.projection:
        return dataclasses.replace(config, train=train.without_projection_loss())
    if entry.family == config.model.family:
        return config
    # EndoDAC sees single frames, and trains its vectors in the last third, as published.
    model = DepthModelConfig.published(entry.family, config.model.preset, image_shape=config.model.image_shape)
    data = dataclasses.replace(config.data, clip_length=1, batch_size=config.data.clip_length * config.data.batch_size)
    phases = dataclasses.replace(train.phases, warm_up_steps=2 * train.steps // 3)
    train = dataclasses.replace(train, phases=phases, learning_rates=LearningRates(**ENDODAC_RATES))
    return dataclasses.replace(config, model=model, data=data, train=train)


class _Patient:
    """The videos of one seed, and the networks trained on them."""

    def __init__(self, config: Config, seed: int, workdir: Path):
        phantom = dataclasses.replace(config.data.phantom, seed=config.data.phantom.seed + seed)
        self.seed, self.workdir = phantom.seed, workdir / f"seed_{phantom.seed}"
        data, held_out = with_rendered_phantom(dataclasses.replace(config.data, phantom=phantom), self.workdir / "data")
        self.config = dataclasses.replace(config, data=data, seed=config.seed + seed)
        self.videos = EvaluationVideos(held_out, config.evaluate.split)

    @functools.cached_property
    def _with_camera(self) -> Config:
        if self.config.train.objective.camera != "path":
            return self.config
        data = dataclasses.replace(self.config.data, camera_paths=solved_paths(self.config, self.workdir))
        return dataclasses.replace(self.config, data=data)

    def figures(self, name: str, row: StudyRow) -> dict:
        """Returns the row's figures, by our names; stored ones are reused."""
        evaluate = dataclasses.replace(self.config.evaluate, windows=row.windows, steady=row.steady)
        weights, identity = self._weights(row.network)

        def compute() -> dict:
            model, params, _ = load_model(weights)
            model = dataclasses.replace(model, image_shape=self.config.model.image_shape)
            estimator = DepthEstimator(model, params["depth"])
            correct = correction_of(evaluate)
            return evaluate_network(estimator, self.videos, evaluate, name, correct=correct).complete().means()

        known = identity | {"evaluate": dataclasses.asdict(evaluate)}
        found, _ = stored_result(self.workdir / "results", row.network, known, compute)
        print(f"seed {self.seed}, {name}: abs rel {found['abs_rel']:.4f}, TAE {found['tae']:.2f}%", flush=True)
        return found

    def _weights(self, network: Network) -> tuple[str, dict]:
        """Returns weights, trained if need be, and what they are known by."""
        config = trained_config(self.config, network)
        identity = {name: value for name, value in dataclasses.asdict(config).items() if name in _TRAINED_BY}
        identity["data"] = {name: value for name, value in identity["data"].items() if name != "path"}
        identity |= {"version": __version__, "weights": sha256_of_source(config.weights)}
        if not NETWORKS[network].starts:
            return config.weights, identity | {"train": None}
        folder = self.workdir / "trained" / f"{network}-{digest_of_identity(identity)}"
        if not is_checkpoint(folder / MODEL_FOLDER):
            print(f"training {network}: {folder}", flush=True)
            with folder_of_this_run(folder):
                code = train(trained_config(self._with_camera, network), folder)
            if code == EXIT_PREEMPTED:
                raise Preempted(str(folder))
        return str(folder / MODEL_FOLDER), identity


def _spread(values: list[float], shape: str) -> str:
    """Mean and standard deviation over seeds; of one seed the value alone."""
    mean = format(float(np.mean(values)), shape)
    return f"{mean} ({format(float(np.std(values, ddof=1)), shape.replace('+', ''))})" if len(values) > 1 else mean
