"""Finds errors in a training configuration before anything is read or compiled."""

from pathlib import Path

from endodav_jax.checkpoints.shipped import SHIPPED_WEIGHTS
from endodav_jax.config import Config
from endodav_jax.data.clips import blocks_of
from endodav_jax.data.prepared import find_split, sequences_without_camera
from endodav_jax.errors import UserError
from endodav_jax.models.config import MAX_FRAMES
from endodav_jax.models.groups import GROUPS
from endodav_jax.models.registry import FAMILIES
from endodav_jax.training.initial import trained_groups

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
    _check_camera(config)
    _check_motion_phases(config)
    if config.data.phantom.family:
        _check_phantom(config)
    for field, path in (
        ("data.path", config.data.path),
        ("weights", config.weights),
        ("train.resnet_weights", config.train.resnet_weights),
        ("train.validation_path", config.train.validation_path),
    ):
        if path and path not in SHIPPED_WEIGHTS and not Path(path).exists():
            raise UserError(f"config.{field}: {path} does not exist")
    _check_intrinsics(config)


def check_frame_size(height: int, width: int, scales: tuple[int, ...], phantom: bool = False) -> None:
    """Raises `UserError` if frames of the data set, or of a phantom, do not fit the motion networks or the pyramid."""
    for name, size in (("height", height), ("width", width)):
        if size % _SIZE_MULTIPLE and phantom:
            raise UserError(f"config.data.phantom.{name}: {size} must be a multiple of {_SIZE_MULTIPLE}")
        if size % _SIZE_MULTIPLE:
            raise UserError(
                f"config.data.path: frames of {height}x{width}: the {name} must be a multiple of {_SIZE_MULTIPLE}; "
                "prepare the data set with another --size"
            )
        if size // 2 ** scales[-1] < 3:
            raise UserError(f"config.train.objective.scales: scale {scales[-1]} of {height}x{width} is too small")


def _check_camera(config: Config) -> None:
    """Raises `UserError` if what the objective takes from weights or data contradicts how they are chosen."""
    objective, data = config.train.objective, config.data
    if objective.camera == "path" and not config.weights:
        raise UserError("config.weights: none given; the camera's path is solved with the depth that they predict")
    if objective.camera != "pose" and data.intrinsics == "constant":
        raise UserError(
            f"config.data.intrinsics: the camera is solved ({objective.camera}) with the intrinsics of the data; use "
            "stored, or guessed"
        )
    if objective.camera == "path":
        try:
            data.check_fits_camera_paths()
        except ValueError as error:
            raise UserError(f"config.{error}") from error
    if not objective.learn_registration and not config.weights:
        raise UserError(
            "config.weights: none given; with train.objective.learn_registration=False the flow and brightness "
            "networks keep the weights they start from; name weights that have them, or set it to True"
        )


def _check_motion_phases(config: Config) -> None:
    """Raises `UserError` if there are phases for the motion networks alone, and none of them is trained."""
    phases = config.train.phases
    if any(GROUPS[group].role == "motion" for group in trained_groups(config)):
        return
    for field in ("motion_steps", "depth_interval"):
        if getattr(phases, field):
            raise UserError(
                f"config.train.phases.{field}: {getattr(phases, field)} steps would train nothing: the camera and the "
                "registration are given; set it to 0"
            )


def _check_phantom(config: Config) -> None:
    """Raises `UserError` if the phantom, once rendered, would not fit the training."""
    phantom, data = config.data.phantom, config.data
    check_frame_size(phantom.height, phantom.width, config.train.objective.scales, phantom=True)
    try:
        blocks_of([phantom.family] * phantom.sequences, [phantom.frames] * phantom.sequences, data)
    except UserError as error:
        raise UserError(
            f"config.data.phantom.frames: {phantom.frames} a sequence are too few for clips of {data.clip_length} with "
            "their neighbours; give more, or lower config.data.clip_length"
        ) from error


def _check_intrinsics(config: Config) -> None:
    """Raises `UserError` if intrinsics are taken from data that have only a guess in their place."""
    data = config.data
    if config.train.objective.learn_intrinsics or data.intrinsics != "stored" or data.phantom.family:
        return
    unknown = sequences_without_camera(find_split(data.path, data.split), data.split)
    if unknown:
        raise UserError(
            f"config.data.path: {data.path}: the camera of {unknown[0]} is not known, its stored intrinsics are a "
            "guess; prepare the data set again with its camera (--intrinsics) and --overwrite, take the guess "
            "(config.data.intrinsics=guessed), or learn it (config.train.objective.camera=pose and "
            "config.train.objective.learn_intrinsics=True)"
        )
