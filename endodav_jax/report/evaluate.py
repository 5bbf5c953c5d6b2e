"""An evaluation, from its configuration to its report."""

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Collection
from pathlib import Path

from endodav_jax.checkpoints import load_model
from endodav_jax.config import Config
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.data.rendered import with_rendered_phantom
from endodav_jax.errors import UserError
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.evaluation.evaluate import Correct, Results, evaluate_network, evaluate_predictions
from endodav_jax.evaluation.motion import MotionEstimator, write_tum
from endodav_jax.files import json_text, make_folder, remove, whole_file
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.report.album import Album
from endodav_jax.report.evaluation import (
    COLUMNS,
    MOTION_HEADER,
    about_lines,
    error_rows,
    evaluation_sections,
    motion_rows,
    published_rows,
    terminal_table,
)
from endodav_jax.report.frame_keeper import FRAMES_FOLDER, FrameKeeper, file_stem
from endodav_jax.report.page import write_report
from endodav_jax.runtimes.networks import network_for


def evaluate(config: Config, workdir: Path, correct: Correct | None = None) -> Results:
    """Evaluates the depth of `config.weights`, or another method's predictions, as set in `config.evaluate`.

    Writes `results.json`, `report.html`, `frames/` for `endodav view` and, if the weights have a pose network,
    trajectories, and removes frames and trajectories that an earlier evaluation left there.  A sequence that cannot be
    evaluated is named in `Results.failures` and in the report; if that is every sequence, nothing is written.

    Args:
      config: configuration of the run; if `evaluate.path` is empty, its phantom is rendered into `workdir` and used.
      workdir: folder for all outputs.
      correct: called with the depth of each sequence before it is evaluated.

    Raises:
      UserError: neither or both of weights and predictions are named, or they or the data are missing.
    """
    section = config.evaluate
    check_named(config.weights, section)
    if not section.path:
        _, rendered = with_rendered_phantom(config.data, workdir / "data")
        if not rendered:
            raise UserError("config.evaluate.path: empty; name a data set made by `endodav prepare`")
        section = dataclasses.replace(section, path=rendered)
    videos = EvaluationVideos(section.path, section.split)
    album = Album(videos, section)
    keep = FrameKeeper(videos, section, workdir / FRAMES_FOLDER)

    def said(score, depth) -> None:
        make_folder(workdir)  # at the first sequence: after input errors are found, before hours of work
        album(score, depth)
        keep(score, depth)
        print(f"{score.sequence}: {score.frames} frames, abs rel {score.means()['abs_rel']:.3f}", file=sys.stderr)

    if section.predictions:
        name = section.label or f"predictions in {Path(section.predictions).name}"
        results = evaluate_predictions(section.predictions, videos, section, name, said, config.model)
    else:
        model, params, card = load_model(config.weights)
        motion = MotionEstimator(params) if "pose" in params else None
        name = section.label or f"{Path(config.weights).name} ({card.what})"
        tell = functools.partial(print, file=sys.stderr)
        network, chosen = network_for(model, params.pop("depth"), section, "video", tell)
        if section.runtime != "jax":
            tell(chosen)
        estimator = DepthEstimator.of(network)
        results = evaluate_network(estimator, videos, section, name, said, motion, correct)
        results = dataclasses.replace(results, runtime=chosen)
    if not results.scores:
        return results
    trajectories = {
        workdir / "trajectories" / f"{file_stem(sequence)}.txt": camera for sequence, camera in results.motion.items()
    }
    for file, camera in trajectories.items():
        write_tum(file, camera.world_from_cam, camera.frame_index)
    _remove_others(workdir / "trajectories", "*.txt", trajectories)
    _remove_others(workdir / FRAMES_FOLDER, "*.npz", keep.written)
    with whole_file(workdir / "results.json") as part:
        part.write_text(json_text(results.to_json()))
    write_report(workdir / "report.html", f"Evaluation: {results.label}", evaluation_sections(results, album))
    return results


def _remove_others(folder: Path, pattern: str, kept: Collection[Path]) -> None:
    """Removes what an earlier evaluation left in a folder, and the folder if nothing is left in it."""
    for file in folder.glob(pattern):
        if file not in kept:
            remove(file)
    with contextlib.suppress(OSError):  # there is none, or something is in it
        folder.rmdir()


def check_named(weights: str, section: EvaluateConfig) -> None:
    """Raises `UserError` unless either weights or predictions are given."""
    if weights and section.predictions:
        raise UserError("--predictions: --weights is also given; name one")
    if section.predictions and (section.runtime, section.precision) != ("jax", "float32"):
        raise UserError("--predictions: are evaluated unchanged; omit --runtime and --precision")
    if section.predictions and section.steady:
        raise UserError("--predictions: are evaluated unchanged; omit --steady")
    of_networks = {"windows": "--windows", "int8_frames": "--int8-frames", "int8_force": "--int8-force"}
    for field, option in of_networks.items() if section.predictions else ():
        if getattr(section, field) != getattr(EvaluateConfig, field):
            raise UserError(f"--predictions: are evaluated unchanged; omit {option}")
    if weights and section.kind != EvaluateConfig.kind:
        raise UserError(f"--kind {section.kind}: says what --predictions are, and --weights say it themselves; omit it")
    if not weights and not section.predictions:
        raise UserError(
            "name what to evaluate: --weights FOLDER of a checkpoint, or --predictions FOLDER of another method"
        )


def results_text(results: Results) -> str:
    """Returns the tables of an evaluation for the terminal."""
    parts = ["\n".join(about_lines(results))]
    if results.scores:
        parts.append(terminal_table(error_rows(results), ("sequence", *COLUMNS.values())))
        paper = published_rows(results)
        if paper:
            parts.append("compared with the paper's Table 1\n" + terminal_table(paper[1:], paper[0]))
    if results.motion:
        parts.append(terminal_table(motion_rows(results), MOTION_HEADER))
    return "\n\n".join(parts)
