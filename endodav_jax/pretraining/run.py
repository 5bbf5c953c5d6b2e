"""Pretraining, from the configuration to a checkpoint with a card."""

import dataclasses
from pathlib import Path

import numpy as np

from endodav_jax.checkpoints import MODEL_FOLDER, Card, save_model
from endodav_jax.checkpoints.transfer import load_networks
from endodav_jax.config import Config
from endodav_jax.errors import UserError
from endodav_jax.files import finite
from endodav_jax.pretraining import loop
from endodav_jax.training.logs import METRICS_FILE, last_of_each_step, read_metrics
from endodav_jax.training.run_lock import folder_of_this_run

_CURVE_POINTS = 20


def pretrain(config: Config, workdir: Path) -> None:
    """Pretrains, starting from `config.weights` or random weights, and writes the networks to `workdir/model`.

    Rerun to resume.

    Raises:
      UserError: the network is not one that can be pretrained, weights do not fit, or another run is writing into
        `workdir`.
    """
    if config.model.family != "vda" or config.model.head != "single":
        raise UserError(
            f"config.model: {config.model.family} with a {config.model.head} head; pretraining trains vda with a "
            "single one, which the other families start from"
        )
    start = load_networks(config.weights).params if config.weights else None
    with folder_of_this_run(workdir):
        _pretrain(config, workdir, start)


def _pretrain(config: Config, workdir: Path, start: dict | None) -> None:
    networks = loop.pretrain(config.model, config.pretrain, config.seed, workdir, start)
    card = Card(
        what=f"{config.model.preset} and motion networks pretrained with supervision on the phantom",
        licence="MIT, as this package",
        entries={
            "resnet_layers": config.pretrain.resnet_layers,
            "seed": config.seed,
            "weights": config.weights,
            "pretrain": dataclasses.asdict(config.pretrain),
            "loss_curves": finite(loss_curves(workdir)),
            "held_out": finite(held_out_errors(workdir)),
        },
    )
    save_model(workdir / MODEL_FOLDER, config.model, networks, card, overwrite=True)
    print(f"{workdir / MODEL_FOLDER}: the trained networks")


def loss_curves(workdir: Path) -> dict[str, list[tuple[int, float]]]:
    """Returns stage -> (step, mean loss up to it) at up to `_CURVE_POINTS` steps, from a run's log."""
    logged = [line for line in read_metrics(workdir / METRICS_FILE) if "loss" in line]
    curves = {}
    for stage in dict.fromkeys(line["kind"] for line in logged):
        losses = np.array([(line["step"], line["loss"]) for line in last_of_each_step(logged, stage)])
        pieces = np.array_split(losses, min(_CURVE_POINTS, len(losses)))
        curves[stage] = [(int(piece[-1, 0]), round(float(piece[:, 1].mean()), 4)) for piece in pieces]
    return curves


def held_out_errors(workdir: Path) -> dict[str, dict[str, float]]:
    """Returns stage -> the last results on held-out scenes, from a run's log."""
    measured = {}
    for values in read_metrics(workdir / METRICS_FILE):
        kind = values.pop("kind")
        if kind.endswith("_held_out"):
            measured[kind.removesuffix("_held_out")] = {name: round(value, 4) for name, value in values.items()}
    return measured
