"""On which rung does fine-tuning break on a data set?  Repeats the same training, each time given less of the truth.

    python tools/benchmark.py ladder runs/quickstart/data --workdir out/ladder --steps 136
    python tools/benchmark.py ladder data/own_phantom --workdir out/ladder --config my_config.py \\
        --set train.learning_rates.spatial_adapters=1e-3 --set train.objective.projection_relative=True

The data set needs depth and poses for the frames that are trained on, and for those that are held out.  Every rung
trains from the same weights on the same clips in the same order, and is measured on the held-out sequences before and
after.  What is given and what is on:

    true depth    everything: what the parameters that train can reach on these data
    true view     the camera's motion, the scale of depth, and which pixels both frames see; the light as it is
    true camera   the camera's motion and the scale of depth; flow, occlusion and brightness are the networks', which
                  learn as well if the configuration says so (`train.objective.learn_registration`)
    path          nothing: the camera's path is solved before training, with the data's intrinsics
    solved        nothing: the camera is solved from flow and the depth of the moment, with the data's intrinsics
    learned       nothing: the camera is learned, too
    projection    the same with the projection loss, as configured
    phases        the same with spatial and temporal adapters in turn
    true changes  everything, and how depth changes from frame to frame: what the parameters that train can reach in
                  TAE; only if it is named, with clips of consecutive frames (`data.frame_max_interval=1`)
    points        as `path`, and depth is compared with that of the points followed along it; only if it is named

Where `true view` gains nothing, the data hold no signal that this network could learn from; where a rung gains less
than three quarters of what the one above it gained, or cannot be trained to its end, it is the one that breaks.  Each
rung's folder is a run's: its report shows the curves, and an interrupted ladder resumes where it stopped.
"""

import argparse
import dataclasses
import math
import sys
from pathlib import Path
from typing import Literal

from benchmarks import _options

from endodav_jax.checkpoints import MODEL_FOLDER, load_model
from endodav_jax.config import Config
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.errors import EXIT_OK, EXIT_PREEMPTED, UserError
from endodav_jax.evaluation.evaluate import evaluate_network
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.tables.row_inputs import Preempted
from endodav_jax.training.cameras import CAMERAS
from endodav_jax.training.checks import check_config
from endodav_jax.training.health import DRIFT, RELIEF_KEPT
from endodav_jax.training.initial import check_weights
from endodav_jax.training.logs import METRICS_FILE, last_of_each_step, read_metrics
from endodav_jax.training.loop import train
from endodav_jax.training.oracles import SUPERVISED, SUPERVISED_IN_TIME, TRUE_CAMERA, TRUE_VIEW
from endodav_jax.training.phases import PhaseSchedule
from endodav_jax.training.run_lock import folder_of_this_run
from endodav_jax.training.step import Objectives
from endodav_jax.training.watch import RunBroken

HELP = "the same fine-tuning given less and less of the truth, and the rung on which it breaks"

RUNGS: dict[str, Objectives] = {
    "true depth": SUPERVISED,
    "true view": TRUE_VIEW,
    "true camera": TRUE_CAMERA,
    "path": CAMERAS["path"],
    "solved": CAMERAS["flow"],
    "learned": CAMERAS["pose"],
    "projection": CAMERAS["pose"],
    "phases": CAMERAS["pose"],
    "true changes": SUPERVISED_IN_TIME,
    "points": CAMERAS["path"],
}
CLIMBED = [rung for rung in RUNGS if rung not in ("true changes", "points")]
ERRORS = ("abs_rel", "tae")
_SOLVED: dict[str, Literal["flow", "path"]] = {"path": "path", "points": "path", "solved": "flow"}  # cameras
POINTS_WEIGHT = 1.0  # of the rung `points`, unless the configuration has one
BREAKS = 0.75  # of the gain of the rung above
BROKEN = "broken"  # why a rung was not trained to its end, in place of its figures
_LAST = 20  # logged steps that the end's photometric error is the mean of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments."""
    add = parser.add_argument
    add("data", help="prepared data set with depth and poses, in its training split and its test split")
    add("--workdir", type=Path, required=True, help="for the runs of the rungs, and ladder.json")
    add("--config", default="quickstart", help="what is trained, from what and how (default: quickstart)")
    add("--set", action="append", default=[], metavar="FIELD=VALUE", help="of the configuration, such as seed=1")
    add("--steps", type=_options.at_least(1), default=136, help="of each rung's training (default: 136)")
    add("--phases", type=_phases, default=(40, 10), metavar="S,T", help="steps of each phase (default: 40,10)")
    add("--rungs", type=_rungs, default=CLIMBED, help=f"default: {','.join(CLIMBED)}")


def run_arguments(args: argparse.Namespace) -> int:
    """Climbs, and prints and writes what was found; returns the exit code, `EXIT_PREEMPTED` if SIGTERM ended it."""
    config = _with_truth(_options.configuration(args.config, args.set), args.data, args.steps)
    try:
        figures = climb(config, args.workdir, configurations(config, args.rungs, args.phases))
    except Preempted as stopped:
        print(stopped, file=sys.stderr)
        return EXIT_PREEMPTED
    _options.write_figures(figures, args.workdir / "ladder.json")
    print("\n" + report(figures))
    return EXIT_OK


def configurations(config: Config, rungs: list[str], phases: tuple[int, int]) -> dict[str, Config]:
    """Returns the configuration of each rung, all of them checked before the first is trained.

    Raises:
      UserError: one is contradictory, or does not fit the data or the weights.
    """
    check_weights(config)
    found = {}
    for rung in rungs:
        try:
            found[rung] = configured(config, rung, phases)
            check_config(found[rung])
        except (UserError, ValueError) as error:
            raise UserError(f"{error}; or leave {rung!r} out of --rungs") from error
    return found


def climb(config: Config, workdir: Path, rungs: dict[str, Config]) -> dict:
    """Trains and measures each rung as configured; returns every figure, as a tree that JSON can hold."""
    videos = EvaluationVideos(config.evaluate.path, config.evaluate.split)
    figures = {"before": _measured(config, config.weights, videos), "rungs": {}, "steps": config.train.steps}
    for rung, of_rung in rungs.items():
        print(f"\n{rung}", flush=True)
        folder = workdir / rung.replace(" ", "_")
        try:
            with folder_of_this_run(folder):
                code = train(of_rung, folder, RUNGS[rung])
            if code == EXIT_PREEMPTED:
                raise Preempted(str(folder))
        except RunBroken as broken:
            figures["rungs"][rung] = {BROKEN: str(broken)}
            print(f"{rung}: {broken}", file=sys.stderr)
            continue
        found = _measured(config, str(folder / MODEL_FOLDER), videos)
        figures["rungs"][rung] = found | _curves(folder)
        change = ", ".join(f"{name} {figures['before'][name]:.4f} -> {found[name]:.4f}" for name in ERRORS)
        print(f"{rung}: {change}", flush=True)
    return figures


def configured(config: Config, rung: str, phases: tuple[int, int]) -> Config:
    """The configuration of a rung: anything not mentioned in the module's docstring is the same for all."""
    schedule = dataclasses.replace(config.train.phases, joint=True)
    if rung == "phases":
        schedule = PhaseSchedule(*phases, motion_steps=schedule.motion_steps)
    given, camera = config.train.objective, _SOLVED.get(rung, "pose")
    objective = dataclasses.replace(
        given,
        camera=camera,
        learn_intrinsics=given.learn_intrinsics and camera == "pose",
        points_weight=(given.points_weight or POINTS_WEIGHT) if rung == "points" else 0.0,
        projection_weight=given.projection_weight if rung in ("projection", "phases") else 0.0,
    )
    return dataclasses.replace(config, train=dataclasses.replace(config.train, phases=schedule, objective=objective))


def verdict(figures: dict) -> str:
    """One line that says on which rung fine-tuning breaks, by abs rel."""
    start = figures["before"]["abs_rel"]
    above, before = None, math.nan
    for rung, found in figures["rungs"].items():
        if BROKEN in found:
            return f"breaks on {rung}: {found[BROKEN]}"
        gain = 1 - found["abs_rel"] / start
        if above is None and gain <= 0:
            return f"{rung} already gains nothing ({100 * gain:+.1f}% of abs rel)"
        if above is not None and gain < BREAKS * before:
            return f"breaks on {rung}: {100 * gain:+.1f}% of abs rel where {above} gains {100 * before:.1f}%"
        above, before = rung, gain
    return "no rung breaks"


def report(figures: dict) -> str:
    """The figures for a reader."""
    before = figures["before"]
    lines = [
        f"{figures['steps']} steps a rung; photometric error of the first and the last logged steps; relief and median "
        "depth at the end against the start",
        f"{'rung':12} {'abs rel':>16} {'TAE %':>16} {'photometric':>16} {'relief':>7} {'depth':>6}",
        f"{'before':12} {before['abs_rel']:16.4f} {before['tae']:16.3f}",
    ]
    for rung, found in figures["rungs"].items():
        if BROKEN in found:
            lines.append(f"{rung:12} {'broken':>16}")
            continue
        errors = " ".join(f"{found[name]:{width}} {_change(found, before, name)}" for name, width in _COLUMNS)
        lines.append(
            f"{rung:12} {errors} {found['photometric'][0]:7.4f}->{found['photometric'][1]:.4f} "
            f"{found['relief']:7.2f} {found['median_depth']:6.2f}"
        )
    return "\n".join([*lines, verdict(figures)])


_COLUMNS = (("abs_rel", "7.4f"), ("tae", "7.3f"))


def _change(found: dict, before: dict, name: str) -> str:
    return f"({100 * (found[name] / before[name] - 1):+6.1f}%)"


def _with_truth(config: Config, path: str, steps: int) -> Config:
    phantom = dataclasses.replace(config.data.phantom, family="")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, phantom=phantom, path=path, ground_truth=True),
        train=dataclasses.replace(config.train, steps=steps, validation_path=""),
        evaluate=dataclasses.replace(config.evaluate, path=path),
    )


def _measured(config: Config, weights: str, videos: EvaluationVideos) -> dict[str, float]:
    model, params, _ = load_model(weights)
    model = dataclasses.replace(model, image_shape=config.model.image_shape)
    estimator = DepthEstimator(model, params["depth"])
    means = evaluate_network(estimator, videos, config.evaluate, weights).complete().means()
    return {name: means[name] for name in ERRORS}


def _curves(folder: Path) -> dict:
    """The final photometric error and health of the depth, from what a run logged."""
    logged = last_of_each_step(read_metrics(folder / METRICS_FILE), "train")
    errors = [line.get("loss/loss_reprojection/0", math.nan) for line in logged]
    ends = errors[:_LAST], errors[-_LAST:]
    return {
        "photometric": [sum(end) / len(end) for end in ends],
        "relief": logged[-1][RELIEF_KEPT],
        "median_depth": logged[-1][DRIFT],
    }


def _phases(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts) or not any(map(int, parts)):
        raise argparse.ArgumentTypeError(f"{text!r} is not S,T, steps of which one at least is above 0, as in 40,10")
    return int(parts[0]), int(parts[1])


def _rungs(text: str) -> list[str]:
    chosen = text.split(",")
    unknown = [name for name in chosen if name not in RUNGS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(RUNGS)}")
    return chosen
