"""`pretrain`: a small foundation model from random weights, on the phantom."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import numpy as np

from endodav_jax.checkpoints import MODEL_FOLDER, Card, save_model
from endodav_jax.config import Config, config_from_dict, load_config_file
from endodav_jax.fields import spelled
from endodav_jax.pretraining.loop import pretrain

_CURVE_POINTS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Trains a small foundation model on the phantom.

    Attributes:
      output: folder of the run; rerun to resume.
      config: a configuration: a file, or the name of one that comes with the package.
    """

    output: Annotated[Path, spelled("-o", metavar="FOLDER")]
    config: Annotated[str, spelled(metavar="CONFIG")] = "pretrain_phantom"


def run(command: Command) -> int | None:
    """Runs the job as the command line says."""
    return run_config(config_from_dict(load_config_file(command.config).to_dict()), command.output)


def loss_curves(workdir: Path) -> dict[str, list[tuple[int, float]]]:
    """Returns stage -> (step, mean loss up to it) at up to `_CURVE_POINTS` steps, from a run's log."""
    losses: dict[str, dict[int, float]] = {}
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        losses.setdefault(values["kind"], {})[values["step"]] = values["loss"]  # a resumed run logs some steps again
    curves = {}
    for stage, by_step in losses.items():
        pieces = np.array_split(np.array(sorted(by_step.items())), min(_CURVE_POINTS, len(by_step)))
        curves[stage] = [(int(piece[-1, 0]), round(float(piece[:, 1].mean()), 4)) for piece in pieces]
    return curves


def run_config(config: Config, workdir: Path) -> int | None:
    """Trains, and writes the network to `workdir/model`."""
    networks = pretrain(config.model, config.pretrain, config.seed, workdir)
    card = Card(
        what=f"{config.model.preset} and motion networks pretrained with supervision on the phantom",
        licence="MIT, as this package",
        entries={
            "resnet_layers": config.pretrain.resnet_layers,
            "seed": config.seed,
            "pretrain": dataclasses.asdict(config.pretrain),
            "loss_curves": loss_curves(workdir),
        },
    )
    save_model(workdir / MODEL_FOLDER, config.model, networks, card, overwrite=True)
    print(f"{workdir / 'model'}: the trained networks")
    return None
