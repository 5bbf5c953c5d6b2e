"""Converts published weights, a file or a training folder, to the networks' parameters and back, in memory."""

import dataclasses
import re
from pathlib import Path

import jax
import ml_dtypes
import numpy as np

from endodav_jax.choices import OutputKind
from endodav_jax.conversion import motion_names, names, recognise
from endodav_jax.conversion.name_rules import IGNORED, write_params
from endodav_jax.conversion.weights_file import SUFFIXES, WeightsFile, read_weights_file
from endodav_jax.errors import UserError
from endodav_jax.models import DepthModelConfig, abstract_params
from endodav_jax.models.registry import ADAPTERS, NO_ADAPTER
from endodav_jax.models.resnet import PUBLISHED_LAYERS

DEPTH_FILE = "depth_model"
RESNET = "resnet"  # the network's name where the weights are a ResNet of torchvision's
OUTPUT_KEY = "output"  # in the header of a safetensors file written here: what the network's output is

_NOTHING_OF_A_NETWORK = ("adam",)
_METRIC = re.compile(r"(?<![a-z])metric(?![a-z])")  # a word of a file's name: not "photometric" or "metrics"


@dataclasses.dataclass(frozen=True)
class Origin:
    """What the source files held besides parameters, so that they can be written back unchanged.

    Attributes:
      order: file (without suffix) -> the names in it, in their order.
      tensors: file -> name -> what no network holds: position tables and counters of batches.
    """

    order: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    tensors: dict[str, dict[str, np.ndarray]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Published:
    """Networks from published files.

    Attributes:
      program: a family, `depth_anything` or `resnet`.
      what: one line for people.
      config: of the depth network; None for a ResNet alone.
      params: network -> nested dict of float32 arrays.
      sources: file name -> SHA-256.
      notes: how they were taken, one sentence each.
      entries: what else the files said: the size of training frames, the ResNets' layers.
      origin: see `Origin`.
    """

    program: str
    what: str
    config: DepthModelConfig | None
    params: dict[str, dict]
    sources: dict[str, str]
    notes: tuple[str, ...]
    entries: dict[str, object]
    origin: Origin


def read_published(source: Path | str, family: str | None = None, output: OutputKind | None = None) -> Published:
    """Converts a file of weights or a folder of `depth_model.pth` and the motion networks' files.

    Args:
      source: a `.pth`, `.pt` or `.safetensors` file, or a folder of them. In a folder `adam.pth` is ignored and only
        `depth_model` is required.
      family: see `recognise.recognise_depth`.
      output: what the depth network's output is; None for what the file's name says.

    Raises:
      UserError: one line that names every missing, unused and misshapen tensor of every file, or says what else is
        wrong with them.
    """
    source = Path(source)
    if source.is_dir():
        return _read_folder(source, family, output)
    file = read_weights_file(source)
    refuse_non_finite(file)
    if recognise.is_resnet(file.tensors):
        return _read_resnet(file)
    return _read_depth(file, family, DEPTH_FILE in source.stem, output)


def published_state_dicts(
    config: DepthModelConfig | None, params: dict[str, dict], origin: Origin | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """The networks as PyTorch state dicts: file (without suffix) -> name -> array, names and layouts as published.

    With the `origin` of the conversion each file has exactly the names it had, in their order. Without it, tensors
    that stand under two names in EndoDAV's files get both, and position tables and counters (0) are added, so that a
    strict `load_state_dict` finds all it wants.
    """
    states = {}
    if "depth" in params:
        assert config is not None
        states[DEPTH_FILE] = names.torch_from_params(params["depth"], config) | names.fixed_tables(config)
    if RESNET in params:
        states[RESNET] = _torchvision_from_resnet_params(params[RESNET])
    for file, (network, parts, _) in motion_names.MOTION_FILES.items():
        if network in params and all(part in params[network] for part in parts):
            states[file] = motion_names.torch_from_motion_params(file, params)
    for file, state in states.items():
        if origin is not None and file in origin.order:
            state |= origin.tensors.get(file, {})
            order = dict.fromkeys(origin.order[file])
            common = names.with_common_names(order) if file == DEPTH_FILE else order
            states[file] = {name: state[key] for name, key in zip(order, common, strict=True)}
    return states


def _stated_output(file: WeightsFile) -> OutputKind:
    """What the file says about its output: in its header if written here, in its name if published."""
    if OUTPUT_KEY in file.metadata:
        return "metric_depth" if file.metadata[OUTPUT_KEY] == "metric_depth" else "disparity"
    return "metric_depth" if _METRIC.search(file.path.stem.lower()) else "disparity"


def _read_depth(
    file: WeightsFile, family: str | None, of_checkpoint: bool, output: OutputKind | None = None
) -> Published:
    tensors = names.with_common_names(file.tensors, file.name)
    found = recognise.recognise_depth(tensors, file.name, family, of_checkpoint)
    config, notes = found.config, [*file.notes, *found.notes]
    origin = _origin({DEPTH_FILE: file})
    if found.program == recognise.DEPTH_ANYTHING and config.family_entry.windows:
        params = _video_network_of_images(tensors, config, file.name)
        notes.append("Depth Anything's image weights: the motion modules are new and change nothing until trained")
        origin = Origin()
    else:
        params = names.params_from_torch(tensors, config, file.name)
    output = output or _stated_output(file)
    if output == "metric_depth":
        if found.program == recognise.DEPTH_ANYTHING:
            raise UserError(
                f"{file.name}: metric weights of Depth Anything end in a sigmoid times the greatest depth, which no "
                "network here has; use Video-Depth-Anything's metric weights, or Depth Anything's relative ones"
            )
        notes.append("metric weights: the network's output is depth in metres, not disparity")
        config = dataclasses.replace(config, output="metric_depth")
    title = "Depth Anything" if found.program == recognise.DEPTH_ANYTHING else config.family_entry.title
    what = f"{title} {config.preset}{_adapter_text(config)}"
    return Published(
        found.program,
        what,
        config,
        {"depth": params},
        {file.path.name: file.sha256},
        tuple(notes),
        _plain_entries(file.entries),
        origin,
    )


def _video_network_of_images(tensors: dict[str, np.ndarray], config: DepthModelConfig, source: str) -> dict:
    """Image weights in a video network: new motion modules end in a zero projection, as published, so they add 0."""
    images = DepthModelConfig.endodac(
        config.preset, adapter=NO_ADAPTER, head="single", residual_blocks=(), image_shape=config.image_shape
    )
    params = names.params_from_torch(tensors, images, source)
    rng = np.random.default_rng(0)

    def initial(path, leaf) -> np.ndarray:
        """PyTorch's initial values for norms and linear layers, except that biases start at 0."""
        keys = [entry.key for entry in path]
        if keys[-1] == "scale":
            return np.ones(leaf.shape, np.float32)
        if keys[-1] == "bias" or "proj_out" in keys:
            return np.zeros(leaf.shape, np.float32)
        bound = 1 / np.sqrt(leaf.shape[0])
        return rng.uniform(-bound, bound, leaf.shape).astype(np.float32)

    fresh = jax.tree_util.tree_map_with_path(initial, abstract_params(config)["head"]["motion_modules"])
    return params | {"head": params["head"] | {"motion_modules": fresh}}


def _read_resnet(file: WeightsFile) -> Published:
    layers = recognise.recognise_resnet(file.tensors, file.name)
    params = motion_names.resnet_params_from_torchvision(file.tensors, source=file.name, layers=layers)
    return Published(
        RESNET,
        f"ResNet-{layers} of torchvision, for two stacked frames",
        None,
        {RESNET: params},
        {file.path.name: file.sha256},
        (*file.notes, "the first kernel is duplicated for two frames and halved"),
        {"resnet_layers": layers},
        _origin({RESNET: file}),
    )


def _torchvision_from_resnet_params(params: dict) -> dict[str, np.ndarray]:
    """The state dict for one frame: twice the first half of the stem's kernel, which was halved."""
    conv = params["stem"]["conv"]
    one_frame = 2 * np.asarray(conv["kernel"])[:, :, :3]
    stem = params["stem"] | {"conv": conv | {"kernel": one_frame}}
    return write_params(params | {"stem": stem}, motion_names.resnet_rules("", ""))


def _read_folder(folder: Path, family: str | None, output: OutputKind | None) -> Published:
    known = {DEPTH_FILE, *motion_names.MOTION_FILES}
    paths: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES and path.stem in known & paths.keys():
            raise UserError(f"{path}: {paths[path.stem].name} is beside it, and only one can be used; take one out")
        if path.suffix in SUFFIXES:
            paths[path.stem] = path
    if DEPTH_FILE not in paths:
        raise UserError(f"{folder}: has no {DEPTH_FILE}.pth; name the folder that holds it (such as models/weights_19)")
    files = {name: read_weights_file(path) for name, path in paths.items() if name in known}
    for file in files.values():
        refuse_non_finite(file)
    depth, errors = None, []
    try:
        depth = _read_depth(files[DEPTH_FILE], family, True, output)
    except UserError as error:
        errors.append(str(error))
    layers = _resnet_layers(files)
    motion: dict[str, dict] = {}
    for name, entry in motion_names.MOTION_FILES.items():
        if name in files:
            try:
                part = motion_names.motion_params_from_torch(name, files[name].tensors, files[name].name, layers)
                motion[entry.network] = motion.get(entry.network, {}) | part[entry.network]
            except UserError as error:
                errors.append(str(error))
    if depth is None or errors:
        raise UserError(" | ".join(errors))

    notes = list(depth.notes)
    notes += [f"{file.path.name}: {note}" for name, file in files.items() if name != DEPTH_FILE for note in file.notes]
    missing = [f"{name}.pth" for name in motion_names.MOTION_FILES if name not in files]
    incomplete = {motion_names.MOTION_FILES[name].network for name in motion_names.MOTION_FILES if name not in files}
    if missing:
        notes.append(f"not in the folder: {', '.join(missing)}; training starts those networks anew")
    ignored = [path.name for name, path in paths.items() if name not in known and name not in _NOTHING_OF_A_NETWORK]
    if ignored:
        notes.append(f"not used: {', '.join(ignored)}")
    return dataclasses.replace(
        depth,
        params=depth.params | {network: tree for network, tree in motion.items() if network not in incomplete},
        sources={file.path.name: file.sha256 for file in files.values()},
        notes=tuple(notes),
        entries=depth.entries | ({"resnet_layers": layers} if motion else {}),
        origin=_origin(files),
    )


def _resnet_layers(files: dict[str, WeightsFile]) -> int:
    """Layers of the motion networks' ResNets, of which a run has one kind."""
    for name, file in files.items():
        if name.endswith("_encoder"):
            tensors = {key.removeprefix("encoder."): value for key, value in file.tensors.items()}
            return recognise.recognise_resnet(tensors, str(file.path))
    return PUBLISHED_LAYERS


def _origin(files: dict[str, WeightsFile]) -> Origin:
    order = {name: list(file.tensors) for name, file in files.items()}
    kept = {
        name: {key: np.array(value) for key, value in file.tensors.items() if IGNORED.match(key)}
        for name, file in files.items()
    }
    return Origin(order, {name: tensors for name, tensors in kept.items() if tensors})


def _plain_entries(entries: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in entries.items() if isinstance(value, (bool, int, float, str))}


def refuse_non_finite(file: WeightsFile) -> None:
    """Raises `UserError` if a tensor has NaN or infinity, or numbers that are infinite as float32."""
    for name, value in file.tensors.items():
        if value.dtype.kind == "f" or value.dtype == ml_dtypes.bfloat16:
            with np.errstate(over="ignore"):
                finite = np.isfinite(value.astype(np.float32, copy=False)).all()
            if not finite:
                what = "numbers too large for float32" if np.isfinite(value).all() else "NaN or infinity"
                raise UserError(f"{file.path}: {name} holds {what}; use a checkpoint from before it diverged")


def _adapter_text(config: DepthModelConfig) -> str:
    if config.adapter == NO_ADAPTER:
        return ""
    where = "encoder and motion modules" if config.temporal_adapter else "encoder"
    rank = f" of rank {config.rank}" if ADAPTERS[config.adapter].ranked else ""
    return f", {config.adapter}{rank} on {where}"
