"""Which camera a run has, and what its batches must carry for it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from endodav_jax.config import Config
from endodav_jax.data.config import DataConfig
from endodav_jax.training.depth_objective import depth_objective
from endodav_jax.training.flow_camera import SOLVED_CAMERA
from endodav_jax.training.objective_config import ObjectiveConfig
from endodav_jax.training.path_camera import PATH_CAMERA, solved_paths
from endodav_jax.training.step import PUBLISHED, Objectives

CAMERAS: Mapping[str, Objectives] = {"pose": PUBLISHED, "flow": SOLVED_CAMERA, "path": PATH_CAMERA}


def objectives_of(config: ObjectiveConfig, given: Objectives) -> Objectives:
    """Returns the objectives of a run: those given, with the camera that the configuration chooses if they learn it."""
    if given.depth is not depth_objective:
        return given
    chosen = CAMERAS[config.camera]
    return dataclasses.replace(given, depth=chosen.depth, batch=chosen.batch)


def data_for(objectives: Objectives, config: Config, workdir: Path) -> DataConfig:
    """Returns the configuration of data that has what the camera is taken from, which is made if need be.

    Raises:
      UserError: it cannot be made of these data.
    """
    data = config.data
    if objectives.batch is SOLVED_CAMERA.batch:
        return dataclasses.replace(data, neighbour_flow=True)
    if objectives.batch is PATH_CAMERA.batch and not data.camera_paths:
        return dataclasses.replace(data, camera_paths=solved_paths(config, workdir))
    return data
