"""The table of parameter groups: what each holds, in which network, and when training changes it.

Phases, learning rates, the export of adapters and the printed tables all use this table.  Every parameter is in exactly
one group.
"""

import dataclasses
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import jax
from flax import nnx

from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.registry import late_parameters
from endodav_jax.models.training_networks import DEPTH_NETWORK, MOTION_NETWORKS, RESNET_NETWORKS
from endodav_jax.plain_table import plain_table

Path = tuple[Hashable, ...]  # of a parameter: its network, and the names in it

# When a step trains a group: with the adapters of the encoder or of the motion modules, whenever the depth network is
# trained, with the camera's motion, in the flow's own update, or never.
Role = Literal["spatial", "temporal", "depth", "motion", "flow", "never"]


@dataclasses.dataclass(frozen=True)
class Group:
    """One group of parameters.

    Attributes:
      name: in logs, checkpoints and `train.learning_rates`.
      what: it holds, for people.
      network: of `TrainingNetworks`; empty for a group that has parts of several.
      claims: path -> whether the parameter is the group's, unless a later group of the table claims it.
      role: when a step trains it.
      takes_over: the group in whose place it is trained once the warm-up is over; empty for none.
      optional: foundation models have it in their checkpoints, and the adapted network may do without.
      learning_rate: of Adam, at the start, where a run names no other; the published program has one for all.
    """

    name: str
    what: str
    network: str
    claims: Callable[[Path], bool]
    role: Role
    takes_over: str = ""
    optional: bool = False
    learning_rate: float = 1e-4

    @property
    def trainable(self) -> bool:
        """Whether training changes it, provided that the network has it and the run does not leave it out."""
        return self.role != "never"

    @property
    def exported(self) -> bool:
        """Whether an adapter file holds it: everything in the depth network that training may change."""
        return self.trainable and self.network == DEPTH_NETWORK


def _below(*prefixes: Path) -> Callable[[Path], bool]:
    return lambda path: any(path[: len(prefix)] == prefix for prefix in prefixes)


def _of_adapters(temporal: bool, late: bool) -> Callable[[Path], bool]:
    def claims(path: Path) -> bool:
        found = "adapter" in path and ("motion_modules" in path) == temporal
        return found and (path[-1] in late_parameters()) == late

    return claims


_UNUSED = _below(
    ("depth", "encoder", "mask_token"),
    ("depth", "head", "fusions", 3, "unit1"),
    *((network, "encoder", "classifier") for network in RESNET_NETWORKS),
    ("intrinsics", "squeeze"),
)

_TABLE = (
    Group(
        "backbone", "the published foundation model", "depth", _below(("depth", "encoder"), ("depth", "head")), "never"
    ),
    Group("spatial_adapters", "adapters of the encoder's fc1 and fc2", "depth", _of_adapters(False, False), "spatial"),
    Group(
        "spatial_adapter_vectors",
        "those of their parameters that train after the warm-up: DV-LoRA's U and V",
        "depth",
        _of_adapters(False, True),
        "spatial",
        takes_over="spatial_adapters",
    ),
    Group("temporal_adapters", "adapters of the motion modules", "depth", _of_adapters(True, False), "temporal"),
    Group(
        "temporal_adapter_vectors",
        "those of their parameters that train after the warm-up",
        "depth",
        _of_adapters(True, True),
        "temporal",
        takes_over="temporal_adapters",
    ),
    Group(
        "output_convolutions",
        "the single head's last convolutions",
        "depth",
        _below(("depth", "head", "output")),
        "depth",
        optional=True,
    ),
    Group(
        "depth_heads", "the sigmoid heads", "depth", _below(("depth", "head", "depth_heads")), "depth", optional=True
    ),
    Group("residual_blocks", "EndoDAC's", "depth", lambda path: "residual" in path, "depth"),
    Group("pose", "the camera's motion", "pose", _below(("pose",)), "motion"),
    Group("intrinsics", "the camera's intrinsics", "intrinsics", _below(("intrinsics",)), "motion"),
    Group("flow", "optical flow", "flow", _below(("flow",)), "flow"),
    Group("transform", "changes of brightness", "transform", _below(("transform",)), "motion"),
    Group("unused", "what checkpoints hold and nothing reads: counted, kept, never trained", "", _UNUSED, "never"),
)
GROUPS: Mapping[str, Group] = {group.name: group for group in _TABLE}


class GroupCount(NamedTuple):
    """One line of the table: a group, how many tensors and single parameters it has, and whether it is trained."""

    group: str
    tensors: int
    parameters: int
    trained: bool


def group_of(path: Sequence[Hashable]) -> str:
    """The group of a parameter, by its path in a depth network or in `TrainingNetworks`.

    Raises:
      KeyError: no group claims it.
    """
    whole = tuple(path) if path[0] in (DEPTH_NETWORK, *MOTION_NETWORKS) else (DEPTH_NETWORK, *path)
    for group in reversed(_TABLE):
        if group.claims(whole):
            return group.name
    raise KeyError(f"no group claims the parameter {'.'.join(map(str, path))}")


def trainable_groups(config: DepthModelConfig) -> frozenset[str]:
    """The depth network's groups that the published program trains (DV-LoRA's vectors come after its warm-up)."""
    return config.family_entry.trained_groups


def with_late_groups(groups: Iterable[str]) -> frozenset[str]:
    """The groups together with those that take over from them after the warm-up."""
    first = frozenset(groups)
    return first | {group.name for group in GROUPS.values() if group.takes_over in first}


def parameter_table(model: nnx.Module, trained: frozenset[str]) -> list[GroupCount]:
    """The groups that a network (or its abstract form) has, in the order of `GROUPS`; `trained` names the trained."""
    leaves = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return count_groups(((path, jax.tree.leaves(variable)[0].shape) for path, variable in leaves), trained)


def count_groups(shapes: Iterable[tuple[Path, tuple[int, ...]]], trained: frozenset[str]) -> list[GroupCount]:
    """The same from the (path, shape) of every parameter."""
    sizes: dict[str, list[int]] = {}
    for path, shape in shapes:
        sizes.setdefault(group_of(path), []).append(math.prod(shape))
    return [
        GroupCount(group, len(sizes[group]), sum(sizes[group]), group in trained) for group in GROUPS if group in sizes
    ]


def trained_and_total(table: Sequence[GroupCount]) -> tuple[int, int]:
    """How many parameters are trained at a time, and how many there are.

    A group that takes over after the warm-up trains in place of the other, so it is not counted as trained.
    """
    trained = sum(count.parameters for count in table if count.trained and not GROUPS[count.group].takes_over)
    return trained, sum(count.parameters for count in table)


def table_lines(table: Sequence[GroupCount]) -> list[str]:
    """The table for the terminal, with each group's share of all parameters."""
    total = sum(count.parameters for count in table)
    rows = [("group", "tensors", "parameters", "trained", "share")]
    for group, tensors, parameters, trained in table:
        yes = "yes" if trained else "no"
        rows.append((group, f"{tensors:,}", f"{parameters:,}", yes, f"{parameters / total:.2%}"))
    return plain_table(rows)
