"""The text of an evaluation: a table for the terminal, and the sections of a report."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from endodav_jax.evaluation.evaluate import ERRORS, Results, versions
from endodav_jax.evaluation.motion import MotionScores
from endodav_jax.evaluation.paper import published_for
from endodav_jax.evaluation.sequence import means_and_intervals
from endodav_jax.plain_table import plain_table
from endodav_jax.report.album import Album
from endodav_jax.report.charts import bars, paths_from_two_sides
from endodav_jax.report.page import Block, Section, definitions, table, text

COLUMNS = {
    "abs_rel": "abs rel", "sq_rel": "sq rel", "rmse": "RMSE", "rmse_log": "RMSE log",
    "a1": "d<1.25", "a2": "d<1.25²", "a3": "d<1.25³", "tae": "TAE %", "tas": "TAS",
}  # fmt: skip
SHOWN = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "tae")  # those that the paper reports
_CHARTS = {"abs_rel": "", "rmse": "mm", "a1": "", "tae": "%"}
_SCARED_LISTS = {
    "validation": "val_files, 3 sequences",
    "test": "test_files, 8 sequences of data sets 8 and 9",
    "eval": "eval_files, 3 sequences",
}
NOT_KNOWN = "-"

Row = list[str]


def error_rows(results: Results) -> list[Row]:
    """Returns a row per sequence, then the mean over all frames and its 95% interval: text for all `COLUMNS`."""
    rows = [[score.sequence, *_words(score.means())] for score in results.scores]
    intervals = results.intervals()
    return [
        *rows,
        [f"all {sum(len(score.depth) for score in results.scores)} frames", *_words(results.means())],
        ["95% interval", *(_half_width(name, *intervals[name]) for name in ERRORS)],
    ]


def published_rows(results: Results) -> list[Row]:
    """Returns our row and the paper's rows of Table 1 for SCARED and Hamlyn; empty for other data."""
    published = published_for(results.data_set)
    if not published:
        return []
    names = [name for name in ERRORS if published[0].value(name) is not None or name == "tae"]
    ours = results.means()
    return [
        ["", *(COLUMNS[name] for name in names)],
        ["ours", *(_word(name, ours[name]) for name in names)],
        *([f"paper, {row.method}", *(_word(name, row.value(name)) for name in names)] for row in published),
    ]


def terminal_table(rows: Sequence[Row], header: Sequence[str]) -> str:
    """Returns lines with aligned columns."""
    return "\n".join(plain_table([header, *rows], rule=True))


def about_lines(results: Results) -> list[str]:
    """Describes what was evaluated, on which list, with which alignment, and the lines of the table."""
    config = results.config
    data_set = f"{results.data_set}, split {results.split!r}"
    if results.data_set.startswith("scared") and results.split in _SCARED_LISTS:
        data_set += f" (EndoDAV's {_SCARED_LISTS[results.split]})"
    first = f"the first {config.max_len} frames of each sequence, " if config.max_len else ""
    said = [
        f"{results.label}: {data_set}",
        f"alignment to ground truth: {results.alignment_line()}; {first}depth between {config.near:g} and "
        f"{config.far:g} mm",
        "each line is the mean over the frames of a sequence; sq rel and RMSE in mm, TAE in percent",
    ]
    if not config.predictions:
        said.insert(2, f"windows aligned by the rule: {config.windows}")
    if config.steady:
        said.insert(2, "depth steadied along the camera's path (--steady), which is not part of the published method")
    if results.runtime:
        said.insert(2, results.runtime)
    without = sum(score.frames - len(score.depth) for score in results.scores)
    if without:
        said.append(f"{without} frames have no valid pixel of ground truth and are excluded")
    return [*said, *_doubts(results)]


def _doubts(results: Results) -> list[str]:
    """What makes the numbers of some sequences look like those of wrong inputs."""
    said = []
    without = [f"{score.sequence} ({100 * score.no_depth:.2g}%)" for score in results.scores if score.no_depth]
    if without:
        said.append(f"depth of 0 or less, which counts as such, is predicted at valid pixels of {', '.join(without)}")
    contrary = [score.sequence for score in results.scores if score.contrary]
    if contrary:
        other = "depth" if results.config.kind == "disparity" else "disparity"
        cure = f"; are these predictions {other} (--kind {other})?" if results.config.predictions else ""
        said.append(f"predicted depth falls where true depth rises in {', '.join(contrary)}{cure}")
    return said


def motion_rows(results: Results) -> list[Row]:
    """Returns a row per sequence with a predicted camera: ATE, rotation error, predicted and true intrinsics."""
    rows = []
    for sequence, camera in results.motion.items():
        means = camera.means()
        ate = f"{means['ate']:.4f}" if means else NOT_KNOWN
        rotation = f"{means['rotation_error']:.5f}" if means else NOT_KNOWN
        predicted = _camera(camera.intrinsics) if camera.intrinsics is not None else NOT_KNOWN
        rows.append([sequence, ate, rotation, predicted, _camera(camera.true_intrinsics)])
    return rows


MOTION_HEADER = ("sequence", "ATE mm", "rotation error rad", "fx, fy, cx, cy predicted", "given")


def evaluation_sections(results: Results, album: Album | None = None) -> list[Section]:
    """Returns the sections of a report: tables, bars, pictures, trajectories, configuration."""
    header = ("sequence", *COLUMNS.values())
    rows = error_rows(results)
    blocks: list[Block] = [text(*about_lines(results)), table(header, rows, strong=[len(rows) - 2])]
    paper = published_rows(results)
    if paper:
        blocks.append(table(paper[0], paper[1:], "Compared with Table 1 of the paper", strong=[0]))
    if results.failures:
        blocks.append(table(("not measured", "why"), [[name, why] for name, why in results.failures.items()]))
    sections = [Section("Results", blocks)]
    if results.scores:
        sections.append(Section("Sequence by sequence", sequence_bars(results)))
    if album is not None and results.scores:
        shown = [(score.sequence, album.blocks(score.sequence)) for score in results.scores]
        sections += [Section(f"Frames of {sequence}", pictures) for sequence, pictures in shown if pictures]
    if results.motion:
        plots = [plot for name, camera in results.motion.items() for plot in trajectory_plots(name, camera)]
        sections.append(Section("Camera motion", [table(MOTION_HEADER, motion_rows(results)), *plots]))
    return [*sections, settings_section(dataclasses.asdict(results.config))]


def sequence_bars(results: Results) -> list[Block]:
    """Returns a chart for each of the main errors, with 95% intervals."""
    labels = [score.sequence for score in results.scores]
    measured = [means_and_intervals([score]) for score in results.scores]
    charts = []
    for name, unit in _CHARTS.items():
        values = [means[name] for means, _ in measured]
        if np.isfinite(values).any():
            intervals = {name: [ends[name] for _, ends in measured]}
            charts.append(bars(labels, {name: values}, f"{COLUMNS[name]}, mean and 95% interval", intervals, unit))
    return charts


def trajectory_plots(sequence: str, camera: MotionScores) -> list[Block]:
    """Returns the trajectory from above and from the front, with the true one if known."""
    places = {"predicted": camera.world_from_cam[:, :3, 3]}
    if camera.truth_world_from_cam is not None:
        places["ground truth"] = camera.truth_world_from_cam[:, :3, 3]
    return paths_from_two_sides(places, sequence, "mm")


def settings_section(config: dict) -> Section:
    """Returns the configuration and the versions of the packages used."""
    flat = dict(_flattened(config))
    return Section("Configuration and versions", [definitions(flat, "Configuration"), definitions(versions())])


def _flattened(values: dict, prefix: str = ""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _words(means: dict[str, float]) -> list[str]:
    return [_word(name, means[name]) for name in ERRORS]


def _word(name: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    return f"{value:.2f}" if name == "tae" else f"{value:.3f}"


def _half_width(name: str, low: float, high: float) -> str:
    """Student's interval is symmetric about the mean."""
    half = _word(name, (high - low) / 2)
    return half if half == NOT_KNOWN else f"±{half}"


def _camera(intrinsics: np.ndarray) -> str:
    return ", ".join(f"{value:.1f}" for value in intrinsics)
