"""A training from its configuration alone: checked, its phantom rendered where it has one, trained."""

import dataclasses
from pathlib import Path

from endodav_jax.config import Config
from endodav_jax.data.rendered import with_rendered_phantom
from endodav_jax.training import loop
from endodav_jax.training.checks import check_config
from endodav_jax.training.step import PUBLISHED, Objectives


def train(config: Config, workdir: Path, objectives: Objectives = PUBLISHED) -> int:
    """Fine-tunes a network without labels, as a configuration says; rerun to resume.

    A configured phantom is rendered below `workdir` first; without a data set of its own, the validation takes the
    phantom's.

    Args:
      config: of the run.
      workdir: of everything that the run writes; `model/` in it is the trained network.
      objectives: what a step's updates minimise.

    Returns:
      The exit code: `EXIT_PREEMPTED` where SIGTERM ended it, after saving.

    Raises:
      UserError: the configuration contradicts itself, or data or weights are missing or do not fit.
    """
    check_config(config)  # before anything is rendered
    data, validation = with_rendered_phantom(config.data, workdir / "data")
    section = config.train
    if validation and not section.validation_path:
        section = dataclasses.replace(section, validation_path=validation)
    return loop.train(dataclasses.replace(config, data=data, train=section), workdir, objectives)
