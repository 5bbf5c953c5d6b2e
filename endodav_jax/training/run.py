"""Training from a configuration: checks it, renders its phantom if it has one, and trains."""

import dataclasses
from pathlib import Path

from endodav_jax.config import Config
from endodav_jax.data.rendered import with_rendered_phantom
from endodav_jax.training import loop, parallel
from endodav_jax.training.checks import check_config
from endodav_jax.training.initial import check_weights
from endodav_jax.training.run_lock import folder_of_this_run
from endodav_jax.training.step import PUBLISHED, Objectives


def train(config: Config, workdir: Path, objectives: Objectives = PUBLISHED) -> int:
    """Fine-tunes a network without labels; rerun to resume.

    A configured phantom is first rendered into `workdir`; if no validation data set is given, validation uses the
    phantom.

    Args:
      config: configuration of the run.
      workdir: folder for everything that the run writes; `model/` in it is the trained network, `model_best/` that
        with the lowest validation RMSE.
      objectives: the objectives of a step's updates.

    Returns:
      The exit code: `EXIT_PREEMPTED` if SIGTERM ended the run, after saving.

    Raises:
      UserError: the configuration is contradictory, data or weights are missing or do not fit, or another run is
        writing into `workdir`.
    """
    check_config(config)
    if config.data.phantom.family:  # before it is rendered
        check_weights(config)
    section = config.train
    parallel.start_processes(section.coordinator, section.processes, section.process)
    with folder_of_this_run(workdir):
        with parallel.first_process_first():
            data, validation = with_rendered_phantom(config.data, workdir / "data")
        if validation and not section.validation_path:
            section = dataclasses.replace(section, validation_path=validation)
        return loop.train(dataclasses.replace(config, data=data, train=section), workdir, objectives)
