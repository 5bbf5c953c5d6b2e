"""The groups of parameters: each parameter is in exactly one, and training says which groups it trains.

| group | what it holds |
|---|---|
| `backbone` | the published foundation model, frozen |
| `spatial_adapters` | adapters of the encoder's fc1 and fc2: SSB's vectors, or LoRA's A and B |
| `spatial_adapter_vectors` | DV-LoRA's U and V there, which train after the warm-up in place of A and B |
| `temporal_adapters`, `temporal_adapter_vectors` | the same in the motion modules |
| `output_convolutions` | the single head's last convolutions |
| `depth_heads` | the four sigmoid heads |
| `residual_blocks` | EndoDAC's |
| `pose`, `intrinsics`, `flow`, `transform` | the motion networks |
| `unused` | what checkpoints hold and nothing reads: counted, kept, never trained |
"""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import jax
from flax import nnx

from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.registry import late_parameters
from endodav_jax.models.training_networks import MOTION_NETWORKS

GROUPS = (
    "backbone",
    "spatial_adapters",
    "spatial_adapter_vectors",
    "temporal_adapters",
    "temporal_adapter_vectors",
    "output_convolutions",
    "depth_heads",
    "residual_blocks",
    *MOTION_NETWORKS,
    "unused",
)

_UNUSED = (
    ("encoder", "mask_token"),
    ("head", "fusions", 3, "unit1"),
    ("pose", "encoder", "classifier"),
    ("flow", "encoder", "classifier"),
    ("transform", "encoder", "classifier"),
    ("intrinsics", "squeeze"),
)


class GroupCount(NamedTuple):
    """One line of the table: a group, how many tensors and single parameters it has, and whether it is trained."""

    group: str
    tensors: int
    parameters: int
    trained: bool


def group_of(path: Sequence[Hashable]) -> str:
    """The group of a parameter, by its path in a depth network or in `TrainingNetworks`."""
    path = tuple(path)[1:] if path[0] == "depth" else tuple(path)
    if any(path[: len(unused)] == unused for unused in _UNUSED):
        return "unused"
    if path[0] in MOTION_NETWORKS:
        return str(path[0])
    if "adapter" in path:
        place = "temporal" if "motion_modules" in path else "spatial"
        return f"{place}_adapter_vectors" if path[-1] in late_parameters() else f"{place}_adapters"
    if path[:2] == ("head", "output"):
        return "output_convolutions"
    if path[:2] == ("head", "depth_heads"):
        return "depth_heads"
    if "residual" in path:
        return "residual_blocks"
    if path[0] in ("encoder", "head"):
        return "backbone"
    raise KeyError(f"no group claims the parameter {'.'.join(map(str, path))}")


def trainable_groups(config: DepthModelConfig) -> frozenset[str]:
    """The depth network's groups that the published program trains (DV-LoRA's vectors come after its warm-up)."""
    return config.family_entry.trained_groups


def parameter_table(model: nnx.Module, trained: frozenset[str]) -> list[GroupCount]:
    """The groups that a network (or its abstract form) has, in the order of `GROUPS`; `trained` names the trained."""
    sizes: dict[str, list[int]] = {}
    for path, variable in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        sizes.setdefault(group_of(path), []).append(math.prod(jax.tree.leaves(variable)[0].shape))
    return [
        GroupCount(group, len(sizes[group]), sum(sizes[group]), group in trained) for group in GROUPS if group in sizes
    ]
