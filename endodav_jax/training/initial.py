"""The initial weights of a run: random values, overwritten by converted checkpoints."""

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx

from endodav_jax.checkpoints import Card
from endodav_jax.checkpoints.transfer import Networks, load_networks
from endodav_jax.config import Config
from endodav_jax.conversion.published_files import RESNET
from endodav_jax.errors import UserError
from endodav_jax.files import sha256_of_arrays
from endodav_jax.models.groups import GROUPS, group_of, trainable_groups, with_late_groups
from endodav_jax.models.registry import NO_ADAPTER
from endodav_jax.models.training_networks import DEPTH_NETWORK, MOTION_NETWORKS, RESNET_NETWORKS, TrainingNetworks
from endodav_jax.training.partition import Groups, flatten, names_of, split_by_group, unflatten

Fill = Callable[[Callable[[], TrainingNetworks], dict, dict], None]


class Initial(NamedTuple):
    """The initial state of a run.

    Attributes:
      graphdef: of `TrainingNetworks`.
      trained, frozen: the groups trained in some phase, and all others.
      statistics: BatchNorm statistics, a pure nested dict.
      card: card of the weights; None for random ones.
    """

    graphdef: nnx.GraphDef
    trained: Groups
    frozen: Groups
    statistics: dict
    card: Card | None


def fill_as_published(build: Callable[[], TrainingNetworks], params: dict, statistics: dict) -> None:
    """Initialises the leaves that are not in any checkpoint.

    Random numbers of many shapes take a minute to compile on a small machine.  If most leaves exist already, one
    program creates only the others (adapters, mostly ones); to create all of them, going leaf by leaf is faster.  The
    processor does it where JAX has it, so that an accelerator has none of those many small programs to compile.
    """
    missing = {path for part in (params, statistics) for path, leaf in part.items() if not isinstance(leaf, jax.Array)}
    networks = {path.split(".")[0] for path in missing}

    def leaves() -> dict[str, jax.Array]:
        _, *parts = nnx.split(build(), nnx.Param, nnx.BatchStat)
        made = {path: leaf for part in parts for path, leaf in flatten(nnx.to_pure_dict(part)).items()}
        return {path: made[path] for path in missing}

    whole = any(all(path in missing for path in params if path.startswith(f"{name}.")) for name in networks)
    with _on_the_processor():
        made = leaves() if whole else jax.jit(leaves)()
    for part in (params, statistics):
        part.update({path: made[path] for path in part if path in made})


def _on_the_processor() -> contextlib.AbstractContextManager:
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS names an accelerator alone
        return contextlib.nullcontext()


def initial_networks(config: Config, axis_name: str | None, fill: Fill = fill_as_published) -> Initial:
    """Builds all networks of a run.

    Args:
      config: `weights` names a checkpoint of only the depth network, with or without adapters, or of a complete run;
        anything missing (especially adapters) is initialised as published.
      axis_name: axis of the devices, for BatchNorm.
      fill: (builds the networks, parameters, statistics) replaces, in these two flat dicts, the abstract leaves that no
        checkpoint provides.

    Raises:
      UserError: weights that are missing or do not fit.
    """

    def build() -> TrainingNetworks:
        return TrainingNetworks(
            config.model,
            nnx.Rngs(config.seed),
            layers=config.train.resnet_layers,
            precision=config.train.precision,
            axis_name=axis_name,
            remat=config.train.remat,
        )

    graphdef, *abstract = nnx.split(nnx.eval_shape(build), nnx.Param, nnx.BatchStat)
    params, statistics = (flatten(nnx.to_pure_dict(part)) for part in abstract)
    if config.train.resnet_weights:
        found = load_networks(config.train.resnet_weights)
        for user in RESNET_NETWORKS:
            _overwrite(f"{user}.encoder.", found.params[RESNET], params, statistics, config.train.resnet_weights)
    card = None
    if config.weights:
        found = load_networks(config.weights)
        _check_fit(found, config)
        for name in (DEPTH_NETWORK, *MOTION_NETWORKS):
            if name in found.params:
                _overwrite(f"{name}.", found.params[name], params, statistics, config.weights)
        card = found.card
    fill(build, params, statistics)
    groups = split_by_group(unflatten(params), group_of)
    trained = trained_groups(config)
    return Initial(
        graphdef,
        {group: members for group, members in groups.items() if group in trained},
        {group: members for group, members in groups.items() if group not in trained},
        unflatten(statistics),
        card,
    )


def check_weights(config: Config) -> None:
    """Raises `UserError` naming the fields to set, if `config.weights` do not fit the configured networks, or
    `config.train.resnet_weights` are not a ResNet's."""
    if config.weights:
        _check_fit(load_networks(config.weights), config)
    if config.train.resnet_weights:
        found = load_networks(config.train.resnet_weights)
        if RESNET not in found.params:
            raise UserError(
                f"config.train.resnet_weights: {config.train.resnet_weights} is {found.card.what}, not a ResNet; name "
                "a ResNet of torchvision"
            )


def trained_groups(config: Config) -> frozenset[str]:
    """Returns every group that is trained in some phase of the run."""
    motion = {group.name for group in GROUPS.values() if group.trainable and group.network != DEPTH_NETWORK}
    groups = with_late_groups(trainable_groups(config.model)) | motion
    if not config.train.train_output_convolutions:
        groups -= {"output_convolutions"}
    if not config.train.objective.learn_intrinsics:
        groups -= {"intrinsics"}
    if not config.train.objective.learn_registration:
        groups -= {"flow", "transform"}
    if config.train.objective.camera != "pose":
        groups -= {"pose"}
    return groups


def digest_of(frozen: Groups) -> str:
    """Returns the SHA-256 of all frozen weights, by which a checkpoint refers to them."""
    leaves = (
        (group, path, np.ascontiguousarray(np.asarray(frozen[group][path])))
        for group in sorted(frozen)
        for path in sorted(frozen[group])
    )
    return sha256_of_arrays((f"{group} {path} {leaf.dtype} {leaf.shape}", leaf) for group, path, leaf in leaves)


def _check_fit(found: Networks, config: Config) -> None:
    depth = found.config  # None where the weights are of other networks alone
    if depth is not None and depth.metric:
        raise UserError(
            f"{config.weights}: outputs depth in metres, but training requires disparity; start from relative weights"
        )
    if not config.train.objective.learn_registration:
        missing = [name for name in ("flow", "transform") if name not in found.params]
        if missing:
            raise UserError(
                f"{config.weights}: has no networks {' and '.join(missing)} that could be kept as they are; set "
                "config.train.objective.learn_registration=True"
            )
    layers = found.card.entries.get("resnet_layers") if set(RESNET_NETWORKS) & found.params.keys() else None
    fields: list[tuple[str, object, object]] = []
    if depth is not None:
        fields.append(("model.preset", depth.preset, config.model.preset))
        if depth.adapter != NO_ADAPTER:
            fields.append(("model.adapter", depth.adapter, config.model.adapter))
    if layers:
        fields.append(("train.resnet_layers", layers, config.train.resnet_layers))
    wrong = [f"config.{field}={has}" for field, has, configured in fields if has != configured]
    if wrong:
        raise UserError(f"{config.weights}: networks of other sizes than the configured ones; set {', '.join(wrong)}")


def _overwrite(prefix: str, tree: dict, params: dict, statistics: dict, source: str) -> None:
    """Replaces the leaves below `prefix` with those of `tree`."""
    for name, leaf in flatten(tree).items():
        path = prefix + name
        target = params if path in params else statistics
        if path not in target:
            if _may_be_left_out(names_of(path)):
                continue
            raise UserError(f"{source}: contains {path}, which the configured networks do not have; see config.model")
        if target[path].shape != leaf.shape:
            raise UserError(
                f"{source}: {path} has shape {leaf.shape}, the configured networks expect {target[path].shape}; see "
                "config.model and config.train.resnet_layers"
            )
        target[path] = jax.numpy.asarray(leaf, target[path].dtype)


def _may_be_left_out(names: tuple) -> bool:
    """Whether an adapted network may lack this parameter of the foundation model, as in the published programs."""
    return "motion_modules" in names or GROUPS[group_of(names)].optional
