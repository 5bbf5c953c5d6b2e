"""Demonstrates the method on a phantom: evaluates zero-shot, fine-tunes without labels, evaluates again, ablates."""

import dataclasses
import time
from pathlib import Path

import numpy as np
from PIL import Image

from endodav_jax.checkpoints import MODEL_FOLDER, load_model
from endodav_jax.config import Config
from endodav_jax.data.evaluation import EvaluationVideos
from endodav_jax.data.rendered import with_rendered_phantom
from endodav_jax.depth_video.config import InferConfig
from endodav_jax.depth_video.run import infer
from endodav_jax.errors import EXIT_PREEMPTED, UserError
from endodav_jax.evaluation.evaluate import Results, evaluate_network, versions
from endodav_jax.evaluation.paper import TABLE_2
from endodav_jax.files import json_text, whole_file
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.inference.windows import AlignRule
from endodav_jax.quickstart.story import BEFORE, STEADIED, Story, Variant, say_story, write_story
from endodav_jax.reconstruction.steady import correction_of
from endodav_jax.report.album import Album
from endodav_jax.report.evaluation import SHOWN
from endodav_jax.training.checks import check_config
from endodav_jax.training.initial import check_weights
from endodav_jax.training.loop import train
from endodav_jax.training.path_camera import solved_paths
from endodav_jax.training.run_lock import folder_of_this_run

_STEPS = 6
_ABLATION = {row.method: row for row in TABLE_2}


def quickstart(config: Config, workdir: Path) -> int | None:
    """Runs everything and writes `results.json`, `report.html`, depth videos and point clouds to `workdir`.

    `config` is a training configuration with a phantom as its data; the network is evaluated on the phantom's test
    sequences.  When rerun, it resumes a training that was stopped and does not repeat one that is finished.

    Returns:
      `EXIT_PREEMPTED` if SIGTERM ended a training, after saving.

    Raises:
      UserError: no phantom or no weights are configured, they do not fit, or another run is writing into `workdir`.
    """
    began = time.perf_counter()
    if not config.data.phantom.family or not config.weights:
        raise UserError("config.data.phantom.family, config.weights: the quickstart needs both")
    check_config(config)
    check_weights(config)
    with folder_of_this_run(workdir):
        return _in_steps(config, workdir, began)


def _in_steps(config: Config, workdir: Path, began: float) -> int | None:
    say = _Steps()

    say(f"rendering the phantom's {config.data.phantom.family} family")
    data, held_out = with_rendered_phantom(config.data, workdir / "data")
    config = dataclasses.replace(config, data=data)
    videos = EvaluationVideos(held_out, config.evaluate.split)

    say("zero-shot: evaluating the unchanged network on held-out sequences")
    before = _measured(config, config.weights, "vda", BEFORE, videos)

    if config.train.objective.camera == "path":  # solved once for both trainings
        data = dataclasses.replace(config.data, camera_paths=solved_paths(config, workdir))
        config = dataclasses.replace(config, data=data)

    runs: dict[bool, Path] = {}
    for projection in (True, False):
        kind = "with" if projection else "without"
        say(f"fine-tuning without labels, {kind} projection loss: {config.train.steps} steps")
        runs[projection] = workdir / f"{kind}_projection_loss"
        if train(_training(config, projection), runs[projection]) == EXIT_PREEMPTED:
            return EXIT_PREEMPTED

    say("evaluating again: projection loss and depth alignment, each on and off")
    ablation = {
        name: _measured(config, str(runs[bool(row.projection_loss)] / MODEL_FOLDER), row.windows, name, videos)
        for name, row in _ABLATION.items()
    }

    steadied = _measured(config, str(runs[True] / MODEL_FOLDER), "endodav", STEADIED, videos, steady=True)

    say("writing depth videos and point clouds of a held-out sequence")
    frames, intrinsics = _frames_of(videos, videos.sequences[0], workdir / "frames")
    _write_depth(frames, intrinsics, config.weights, "vda", workdir / "depth_before")
    _write_depth(frames, intrinsics, str(runs[True] / MODEL_FOLDER), "endodav", workdir / "depth_after")

    story = Story(config, before, ablation, steadied, runs, time.perf_counter() - began)
    with whole_file(workdir / "results.json") as part:
        part.write_text(json_text(_to_json(story)))
    write_story(workdir / "report.html", story)
    print("\n" + say_story(story))
    print(f"\n{workdir}: report.html, results.json, depth_before/, depth_after/")
    return None


class _Steps:
    """Announces the next part of the run."""

    def __init__(self):
        self._number = 0

    def __call__(self, what: str) -> None:
        self._number += 1
        print(f"\n[{self._number}/{_STEPS}] {what}", flush=True)


def _training(config: Config, projection: bool) -> Config:
    """The configuration, or the same without projection loss."""
    return config if projection else dataclasses.replace(config, train=config.train.without_projection_loss())


def _measured(
    config: Config, weights: str, windows: AlignRule, label: str, videos: EvaluationVideos, *, steady: bool = False
) -> Variant:
    """Evaluates a checkpoint at the configured size."""
    model, params, _ = load_model(weights)
    model = dataclasses.replace(model, image_shape=config.model.image_shape)
    section = dataclasses.replace(config.evaluate, windows=windows, steady=steady)
    album = Album(videos, section, sequences=3)
    estimator = DepthEstimator(model, params["depth"])
    results = evaluate_network(estimator, videos, section, label, album, correct=correction_of(section)).complete()
    means = results.means()
    print(f"{label}: abs rel {means['abs_rel']:.3f}, TAE {means['tae']:.2f}%", flush=True)
    return Variant(results, album)


def _frames_of(videos: EvaluationVideos, sequence: str, folder: Path) -> tuple[Path, np.ndarray]:
    """Writes the frames of a sequence as images and returns their folder and the camera intrinsics."""
    folder = folder / sequence
    folder.mkdir(parents=True, exist_ok=True)
    intrinsics = np.zeros(4)
    for frame in videos.frames(sequence):
        Image.fromarray(frame.frame).save(folder / f"{frame.frame_index:06d}.png")
        intrinsics = frame.intrinsics
    return folder, intrinsics


def _write_depth(frames: Path, intrinsics: np.ndarray, weights: str, windows: AlignRule, folder: Path) -> None:
    """Writes depth for a folder of frames, as `endodav infer` does."""
    told = InferConfig(
        input=str(frames),
        windows=windows,
        intrinsics=",".join(f"{value:.6g}" for value in intrinsics),
        save=("npz", "ply"),
        overwrite=True,
    )
    infer(told, folder, weights)


def _to_json(story: Story) -> dict:
    def figures(results: Results) -> dict:
        overall = results.to_json()["overall"]
        return {name: overall[name] for name in SHOWN}

    return {
        "before": figures(story.before.results),
        "after": figures(story.after.results),
        "steadied": figures(story.steadied.results),
        "ablation": [
            {
                "row": name,
                "projection_loss": _ABLATION[name].projection_loss,
                "depth_alignment": _ABLATION[name].depth_alignment,
                **figures(variant.results),
            }
            for name, variant in story.ablation.items()
        ],
        "data": {
            "phantom": dataclasses.asdict(story.config.data.phantom),
            "split": story.config.evaluate.split,
            "sequences": len(story.after.results.scores),
            "frames": sum(score.frames for score in story.after.results.scores),
        },
        "seconds": round(story.seconds, 1),
        "sequences": {
            name: variant.results.to_json()["sequences"] for name, variant in story.before_and_after().items()
        },
        "config": dataclasses.asdict(story.config),
        "versions": versions(),
    }
