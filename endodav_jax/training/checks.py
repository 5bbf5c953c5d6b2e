"""Finds errors in a training configuration before anything is read or compiled."""

from pathlib import Path

from endodav_jax.checkpoints.shipped import SHIPPED_WEIGHTS
from endodav_jax.config import Config
from endodav_jax.errors import UserError
from endodav_jax.models.config import MAX_FRAMES
from endodav_jax.models.registry import FAMILIES

_SIZE_MULTIPLE = 32  # five halvings in the motion networks


def check_config(config: Config) -> None:
    """Raises `UserError` naming the first invalid field.

    Each section validates itself when it is built; this function checks what involves two sections or the file
    system.  It does not query devices, which the processes of a cluster must not do before they are connected.
    """
    family = config.model.family_entry
    if not family.trained_groups:
        trained = [entry.name for entry in FAMILIES.values() if entry.trained_groups]
        raise UserError(f"config.model.family: {family.name} has nothing to train; use {', or '.join(trained)}")
    if config.data.clip_length > MAX_FRAMES:
        raise UserError(
            f"config.data.clip_length: {config.data.clip_length} frames; the motion modules take at most {MAX_FRAMES}"
        )
    if not family.windows and config.data.clip_length != 1:
        raise UserError(
            f"config.data.clip_length: {family.title} sees single frames; use 1 and a larger data.batch_size"
        )
    if not config.data.path and not config.data.phantom.family:
        raise UserError("config.data.path: names no data set; prepare one with `endodav prepare`")
    if config.train.objective.camera == "path" and not config.weights:
        raise UserError("config.weights: none given; the camera's path is solved with the depth that they predict")
    if config.train.objective.camera == "path" and config.data.intrinsics != "stored":
        raise UserError("config.data.intrinsics: the camera's path is solved with the stored ones; use stored")
    for field, path in (
        ("data.path", config.data.path),
        ("weights", config.weights),
        ("train.resnet_weights", config.train.resnet_weights),
        ("train.validation_path", config.train.validation_path),
    ):
        if path and path not in SHIPPED_WEIGHTS and not Path(path).exists():
            raise UserError(f"config.{field}: {path} does not exist")


def check_frame_size(height: int, width: int, scales: tuple[int, ...]) -> None:
    """Raises `UserError` if frames of the data set do not fit the motion networks or the pyramid."""
    for name, size in (("height", height), ("width", width)):
        if size % _SIZE_MULTIPLE:
            raise UserError(
                f"config.data.path: frames of {height}x{width}: the {name} must be a multiple of {_SIZE_MULTIPLE}; "
                "prepare the data set with another --size"
            )
        if size // 2 ** scales[-1] < 3:
            raise UserError(f"config.train.objective.scales: scale {scales[-1]} of {height}x{width} is too small")
