"""The results of the quickstart, as a table for the terminal and as a report."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from endodav_jax.config import Config
from endodav_jax.evaluation.evaluate import Results
from endodav_jax.evaluation.paper import TABLE_2
from endodav_jax.quickstart.study_curve import STEPS, STUDY
from endodav_jax.report import Section, bars, lines, table, text, write_report
from endodav_jax.report.album import Album
from endodav_jax.report.evaluation import COLUMNS, SHOWN, settings_section, terminal_table
from endodav_jax.training.logs import METRICS_FILE, last_of_each_step, read_metrics

BEFORE, AFTER = "before fine-tuning", "after fine-tuning"
STEADIED = "after, steadied"
_LOSSES = {"loss": "whole loss", "loss/loss_reprojection/0": "photometric error, finest scale"}


@dataclasses.dataclass(frozen=True)
class Variant:
    """The results of one way to estimate depth; `album` contains its pictures."""

    results: Results
    album: Album


@dataclasses.dataclass(frozen=True)
class Story:
    """All results.

    Attributes:
      config: configuration of the run.
      before: results of the unchanged network.
      ablation: row -> a fine-tuned network, in the paper's order; the last has everything.
      steadied: that last one, its depth steadied along the camera's path, which the paper does not do.
      runs: whether with projection loss -> folder of the training run.
      seconds: duration of the whole run.
    """

    config: Config
    before: Variant
    ablation: dict[str, Variant]
    steadied: Variant
    runs: dict[bool, Path]
    seconds: float

    @property
    def after(self) -> Variant:
        """The network fine-tuned with projection loss, with depth-aligned windows."""
        return list(self.ablation.values())[-1]

    def before_and_after(self) -> dict[str, Variant]:
        """Returns the results to compare, by their displayed names."""
        return {BEFORE: self.before, AFTER: self.after}


def comparison(story: Story) -> list[list[str]]:
    """Returns the rows of the main table: before, after, steadied, each but the first with its change in percent."""
    before = story.before.results.means()
    rows = [[BEFORE, *_words(before)]]
    for name, variant in ((AFTER, story.after), (STEADIED, story.steadied)):
        found = variant.results.means()
        changes = [f"{100 * (found[column] / before[column] - 1):+.0f}%" if before[column] else "-" for column in SHOWN]
        rows += [[name, *_words(found)], ["change", *changes]]
    return rows


def ablation_rows(story: Story) -> list[list[str]]:
    """Returns a row for each combination of projection loss and depth alignment."""
    return [[name, *_words(variant.results.means())] for name, variant in story.ablation.items()]


def say_story(story: Story) -> str:
    """Returns both tables for the terminal."""
    header = ["", *(COLUMNS[name] for name in SHOWN)]
    count = len(story.after.results.scores)
    return "\n\n".join(
        [
            f"held-out sequences ({count}), depth aligned by {story.after.results.alignment_line()}",
            terminal_table(comparison(story), header),
            "projection loss and depth alignment, each on and off",
            terminal_table(ablation_rows(story), header),
            f"{story.seconds:.0f} seconds in total",
        ]
    )


def write_story(path: Path, story: Story) -> None:
    """Writes the report.

    Raises:
      UserError: it cannot be written.
    """
    write_report(path, "EndoDAV on a phantom: before and after fine-tuning without labels", _sections(story))


def learning_curves(run: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns the logged values of `_LOSSES`: name -> (steps, values)."""
    logged = last_of_each_step(read_metrics(run / METRICS_FILE), "train")
    return {
        name: (np.array([line["step"] for line in logged]), np.array([line[name] for line in logged]))
        for name in _LOSSES
    }


def _sections(story: Story) -> list[Section]:
    header = ["", *(COLUMNS[name] for name in SHOWN)]
    phantom = story.config.data.phantom
    steps = story.config.train.steps
    paper = [[f"paper, SCARED: {row.method}", *_words(vars(row))] for row in TABLE_2]
    sections = [
        Section(
            "Before and after",
            [
                text(
                    f"The network (weights: {story.config.weights}) is tested on a family of rendered scenes, "
                    f"{phantom.family}. The shipped networks were trained on others, with different shapes, "
                    f"textures and light. It is evaluated unchanged, fine-tuned for {steps} steps on "
                    f"{phantom.sequences} sequences without their depth or poses, and evaluated again on held-out "
                    "sequences.",
                    "sq rel and RMSE in mm, TAE in percent; depth aligned to the ground truth by "
                    f"{story.after.results.alignment_line()}. This small example shows how the method works, not how "
                    "well it works on patients.",
                ),
                table(header, comparison(story), strong=[1, 3]),
                text(
                    f"{STEADIED}: each frame's depth is corrected along the camera's path, which is tracked in the "
                    "video (endodav infer --steady). The published method does not do that."
                ),
                *_sequence_bars(story),
            ],
        ),
        Section(
            "Projection loss and depth alignment, each on and off",
            [
                table(header, ablation_rows(story), strong=[len(story.ablation) - 1]),
                text(
                    f"Above: {steps} steps of a small network on rendered scenes. Below: the paper's, on SCARED, "
                    "after its published training. Compare the order of the rows, not the numbers."
                ),
                table(header, paper, strong=[len(paper) - 1]),
            ],
        ),
        Section("Learning", _curves(story)),
        Section("Where longer training leads", _beside_the_study(story)),
    ]
    for score in story.after.results.scores:
        blocks = []
        for name, variant in story.before_and_after().items():
            pictures = variant.album.blocks(score.sequence)
            if pictures:
                blocks += [text(name), *pictures]
        if blocks:
            sections.append(Section(f"Frames of {score.sequence}", blocks))
    return [*sections, settings_section(dataclasses.asdict(story.config))]


def _sequence_bars(story: Story) -> list[str]:
    sequences = [score.sequence for score in story.after.results.scores]
    charts = []
    for name in ("abs_rel", "tae"):
        series = {
            label: [score.means()[name] for score in variant.results.scores]
            for label, variant in (story.before_and_after() | {STEADIED: story.steadied}).items()
        }
        if all(len(values) == len(sequences) for values in series.values()):
            charts.append(bars(sequences, series, COLUMNS[name]))
    return charts


def _curves(story: Story) -> list[str]:
    curves = {projection: learning_curves(run) for projection, run in story.runs.items()}
    plots = []
    for name, title in _LOSSES.items():
        series = {
            f"{'with' if projection else 'without'} projection loss": found[name]
            for projection, found in curves.items()
        }
        plots.append(lines(series, title, "step", "loss"))
    return plots


def _beside_the_study(story: Story) -> list[str]:
    """Errors relative to the start, of this run and of each seed of the study."""
    before, after = story.before.results.means(), story.after.results.means()
    charts = [
        text(
            "The study trains for longer, with larger frames, more of them a step, on twice as many scenes "
            "(endodav reproduce study), and starts from the network `shipped`, which is steadier. Each seed is another "
            "patient."
        )
    ]
    for name in ("abs_rel", "tae"):
        series = {"this run": ([0, story.config.train.steps], [100.0, 100 * after[name] / before[name]])}
        for seed, errors in STUDY.items():
            curve = getattr(errors, name)
            series[f"the study, seed {seed}"] = (list(STEPS), [100 * error / curve[0] for error in curve])
        charts.append(lines(series, COLUMNS[name], "step", "% of the error at the start"))
    return charts


def _words(values) -> Sequence[str]:
    def word(name: str) -> str:
        value = values[name]
        if value is None or not math.isfinite(value):
            return "-"
        return f"{value:.2f}" if name == "tae" else f"{value:.3f}"

    return [word(name) for name in SHOWN]
