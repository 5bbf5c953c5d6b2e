"""Pretraining, from the configuration to a checkpoint with a card."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from endodav_jax.checkpoints import MODEL_FOLDER, Card, save_model
from endodav_jax.checkpoints.transfer import load_networks
from endodav_jax.config import Config
from endodav_jax.pretraining import loop

_CURVE_POINTS = 20


def pretrain(config: Config, workdir: Path) -> None:
    """Pretrains, starting from `config.weights` or random weights, and writes the networks to `workdir/model`.

    Rerun to resume.
    """
    start = load_networks(config.weights).params if config.weights else None
    networks = loop.pretrain(config.model, config.pretrain, config.seed, workdir, start)
    card = Card(
        what=f"{config.model.preset} and motion networks pretrained with supervision on the phantom",
        licence="MIT, as this package",
        entries={
            "resnet_layers": config.pretrain.resnet_layers,
            "seed": config.seed,
            "weights": config.weights,
            "pretrain": dataclasses.asdict(config.pretrain),
            "loss_curves": loss_curves(workdir),
            "held_out": held_out_errors(workdir),
        },
    )
    save_model(workdir / MODEL_FOLDER, config.model, networks, card, overwrite=True)
    print(f"{workdir / 'model'}: the trained networks")


def loss_curves(workdir: Path) -> dict[str, list[tuple[int, float]]]:
    """Returns stage -> (step, mean loss up to it) at up to `_CURVE_POINTS` steps, from a run's log."""
    losses: dict[str, dict[int, float]] = {}
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        if "loss" in values:  # a resumed run logs some steps again
            losses.setdefault(values["kind"], {})[values["step"]] = values["loss"]
    curves = {}
    for stage, by_step in losses.items():
        pieces = np.array_split(np.array(sorted(by_step.items())), min(_CURVE_POINTS, len(by_step)))
        curves[stage] = [(int(piece[-1, 0]), round(float(piece[:, 1].mean()), 4)) for piece in pieces]
    return curves


def held_out_errors(workdir: Path) -> dict[str, dict[str, float]]:
    """Returns stage -> the last results on held-out scenes, from a run's log."""
    measured = {}
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        if values["kind"].endswith("_held_out"):
            stage = values.pop("kind").removesuffix("_held_out")
            measured[stage] = {name: round(value, 4) for name, value in values.items()}
    return measured
