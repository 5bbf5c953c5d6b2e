"""`endodav evaluate`: errors of a network's depth, or of what any other method predicted, on a prepared data set."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import tyro

from endodav_jax.config import Config
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from endodav_jax.evaluation.config import EvaluateConfig
from endodav_jax.fields import spelled
from endodav_jax.files import make_folder, whole_file

_NOTHING_NAMED = "name what to measure: --weights FOLDER of a checkpoint, or --predictions FOLDER of another method"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Measures a network's depth, or another method's predictions, against ground truth.

    Attributes:
      output: for results.json, report.html, trajectories.
      weights: a checkpoint (see: endodav convert --help).
      label: name of what is measured, for the report.
    """

    output: Annotated[Path, spelled("-o", metavar="FOLDER")]
    weights: str = ""
    label: str = ""
    evaluate: tyro.conf.OmitArgPrefixes[EvaluateConfig]


def run(command: Command) -> int:
    """Runs the job as the command line says."""
    return evaluate(command.evaluate, command.weights, command.output, command.label)


def run_config(config: Config, workdir: Path) -> int:
    """Runs the `evaluate` section of a configuration with its `weights`; a configured phantom is rendered first."""
    from endodav_jax.data.rendered import with_rendered_phantom

    section = config.evaluate
    if not section.path:
        _, rendered = with_rendered_phantom(config.data, workdir / "data")
        if not rendered:
            raise UserError("config.evaluate.path: is empty; name a data set made by `endodav prepare`")
        section = dataclasses.replace(section, path=rendered)
    return evaluate(section, config.weights, workdir)


def evaluate(config: EvaluateConfig, weights: str, folder: Path, label: str = "") -> int:
    """Measures, prints a table and writes `results.json`, `report.html` and trajectories into `folder`.

    Returns:
      `EXIT_OK`, or `EXIT_SOME_FAILED` where a sequence could not be measured, which is said on stderr.

    Raises:
      UserError: neither or both of weights and predictions are named, or they or the data are missing.
    """
    if bool(weights) == bool(config.predictions):
        raise UserError(_NOTHING_NAMED if not weights else "--predictions: --weights is given as well; name one")
    videos = EvaluationVideos(config.path, config.split)
    # JAX is imported here and not before, so that mistakes in the arguments are told at once.
    from endodav_jax.evaluation.evaluate import evaluate_predictions
    from endodav_jax.evaluation.motion import write_tum
    from endodav_jax.report import write_report
    from endodav_jax.report.album import Album
    from endodav_jax.report.evaluation import evaluation_sections

    album = Album(videos, config)

    def said(score, depth) -> None:
        make_folder(folder)  # at the first sequence: after mistakes in what is read, before hours of measuring
        album(score, depth)
        print(f"{score.sequence}: {score.frames} frames, abs rel {score.means()['abs_rel']:.3f}", file=sys.stderr)

    if config.predictions:
        name = label or f"predictions in {Path(config.predictions).name}"
        results = evaluate_predictions(config.predictions, videos, config, name, said)
    else:
        results = _evaluate_checkpoint(weights, videos, config, label, said)
    for sequence, camera in results.motion.items():
        write_tum(
            folder / "trajectories" / f"{sequence.replace('/', '_')}.txt", camera.world_from_cam, camera.frame_index
        )
    with whole_file(folder / "results.json") as part:
        part.write_text(json.dumps(results.to_json(), indent=1, allow_nan=False) + "\n")
    write_report(folder / "report.html", f"Evaluation: {results.label}", evaluation_sections(results, album))
    _print(results, folder)
    for sequence, reason in results.failures.items():
        print(f"endodav evaluate: {sequence}: {reason}", file=sys.stderr)
    return EXIT_SOME_FAILED if results.failures else EXIT_OK


def _evaluate_checkpoint(weights: str, videos: EvaluationVideos, config: EvaluateConfig, label: str, on_sequence):
    from endodav_jax.checkpoints import load_model
    from endodav_jax.evaluation.evaluate import evaluate_network
    from endodav_jax.evaluation.motion import MotionEstimator
    from endodav_jax.inference.estimator import DepthEstimator

    model, params, card = load_model(weights)
    motion = MotionEstimator(params) if "pose" in params else None
    name = label or f"{Path(weights).name} ({card.what})"
    return evaluate_network(DepthEstimator(model, params["depth"]), videos, config, name, on_sequence, motion)


def _print(results, folder: Path) -> None:
    from endodav_jax.report.evaluation import (
        COLUMNS,
        MOTION_HEADER,
        about_lines,
        error_rows,
        motion_rows,
        published_rows,
        terminal_table,
    )

    print("\n".join(about_lines(results)))
    if results.scores:
        print("\n" + terminal_table(error_rows(results), ("sequence", *COLUMNS.values())))
        paper = published_rows(results)
        if paper:
            print("\nbeside the paper's Table 1\n" + terminal_table(paper[1:], paper[0]))
    if results.motion:
        print("\n" + terminal_table(motion_rows(results), MOTION_HEADER))
    print(f"\n{folder}: results.json, report.html" + (", trajectories/" if results.motion else ""))
