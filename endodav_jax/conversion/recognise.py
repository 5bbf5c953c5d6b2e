"""Recognises a state dict by its keys and shapes alone: the network, its preset, adapter, head and residual blocks."""

import contextlib
import dataclasses
import re
from collections.abc import Collection, Mapping

import numpy as np

from endodav_jax.conversion.names import params_from_torch
from endodav_jax.errors import UserError
from endodav_jax.models.config import BACKBONES, DepthModelConfig
from endodav_jax.models.registry import ADAPTERS, FAMILIES, NO_ADAPTER, Family, KeyTraits
from endodav_jax.models.resnet import RESNETS, ResNetSize

KINDS = ("depth", "motion", "resnet")  # of networks, as `kind_of` tells them
# The program whose image network is the foundation of the families; its files become a network of one of them.
DEPTH_ANYTHING = "depth_anything"

# For the files of a published checkpoint folder, a key that only that network's state dict has.
_MOTION_KEYS = {
    "pose_encoder": "encoder.conv1.weight",
    "pose": "convs.squeeze.weight",
    "intrinsics_head": "focal_length_conv.weight",
    "position_encoder": "encoder.conv1.weight",
    "position": "convs.position_conv_0.weight",
    "transform_encoder": "encoder.conv1.weight",
    "transform": "convs.transform_conv_0.conv.weight",
}
# What adapters add to a layer is stored next to its weight and bias.
_ADAPTED_LAYER = re.compile(r"(pretrained\.blocks\.\d+\.mlp\.fc[12]\.)(?!weight$|bias$)\w+$")
_ADAPTED_MOTION = re.compile(r"head\.motion_modules\..*\.ff\.net\.2\.(?!weight$|bias$)\w+$")
_WIDTH_KEYS = ("pretrained.pos_embed", "pretrained.cls_token", "pretrained.norm.weight", "pretrained.norm.bias")
# Names of files that tell Depth Anything's versions apart, whose keys are the same.
_VERSION = re.compile(r"(?<![a-z])(depth_?anything_?)?v2(?![a-z0-9])|depth_anything_vit[sbl]14")
# (blocks of each stage, with bottleneck) -> layers, of the published ones.
_RESNETS: dict[tuple[tuple[int, ...], bool], int] = {
    (size.blocks, size.bottleneck): layers for layers, size in RESNETS.items() if size.widths == ResNetSize.widths
}


@dataclasses.dataclass(frozen=True)
class DepthWeights:
    """What a depth network's state dict was recognised as.

    Attributes:
      program: the published program that wrote it: a family, or `DEPTH_ANYTHING`.
      config: the network that takes it.
      notes: what a user should know about how it was taken.
    """

    program: str
    config: DepthModelConfig
    notes: tuple[str, ...] = ()


def recognise_depth(
    tensors: Mapping[str, np.ndarray], name: str, family: str | None = None, of_checkpoint: bool = False
) -> DepthWeights:
    """Recognises a depth network.

    Args:
      tensors: PyTorch name -> array; only shapes are looked at.
      name: of the file; shown in errors, and read where the keys of two programs are the same.
      family: settles what keys leave open: `vda` or `endodav` for video weights without adapters, `vda` or `endodac`
        for Depth Anything's image weights (V2 reads the encoder where VDA does, V1 at its last four blocks, as
        EndoDAC).
      of_checkpoint: the file is `depth_model` of a training folder, so a network without adapters is EndoDAV's.

    Raises:
      UserError: it is not a depth network, its size is unknown, or `family` contradicts the keys.
    """
    if family is not None and family not in FAMILIES:
        raise UserError(f"{name}: --family {family} is not one of {', '.join(FAMILIES)}")
    if not any(key.startswith("pretrained.blocks.0.") for key in tensors):
        return _recognise_by_names(tensors, name, family)
    if not any(key.startswith(("head.", "depth_head.")) for key in tensors):
        raise UserError(f"{name}: is a ViT encoder without a depth head; name the weights of a whole network")
    preset = _preset(tensors, name)
    adapter, rank = _adapter(tensors, name)
    residual = {int(m[1]) for key in tensors if (m := re.match(r"pretrained\.blocks\.(\d+)\.residual_\.", key))}
    found = KeyTraits(
        video=not _has(tensors, "depth_head."),
        adapter=adapter,
        multi_head=_has(tensors, "conv_depth_1"),
        residual_blocks=tuple(sorted(residual)),
        file=name.lower(),
        of_checkpoint=of_checkpoint,
    )
    chosen, notes = _choose_family(found, name, family)
    image_network = found.plain and not found.video
    fields = {
        "adapter": adapter,
        "rank": rank,
        "head": "multi" if found.multi_head else "single",
        "residual_blocks": found.residual_blocks,
        "temporal_adapter": found.video and any(_ADAPTED_MOTION.match(key) for key in tensors),
    } | ({"normalise": True} if image_network else {})
    try:
        config = DepthModelConfig.published(chosen.name, preset, **fields)
    except ValueError as error:
        raise UserError(f"{name}: has keys of a network that is not known here ({error})") from error
    return DepthWeights(DEPTH_ANYTHING if image_network else chosen.name, config, notes)


def recognise_resnet(tensors: Mapping[str, np.ndarray], name: str) -> int:
    """Returns the layers (18, 34 or 50) of a ResNet whose keys start with `conv1`, `bn1`, `layer1` ...

    Raises:
      UserError: the blocks match none of these networks.
    """
    counts = tuple(
        len({m[1] for key in tensors if (m := re.match(rf"layer{stage}\.(\d+)\.conv1\.weight$", key))})
        for stage in (1, 2, 3, 4)
    )
    layers = _RESNETS.get((counts, "layer1.0.conv3.weight" in tensors))
    if layers is None:
        raise UserError(f"{name}: a ResNet with {counts} blocks is not known here; use ResNet-18, 34 or 50")
    return layers


def kind_of(names: Collection[str]) -> str | None:
    """Returns which of `KINDS` a state dict is by its names alone, None where no network known here has them."""
    encoder = any(name.startswith(("pretrained.blocks.0.", "encoder.blocks.0.")) for name in names)
    if encoder and any(name.startswith(("head.", "depth_head.")) for name in names):
        return "depth"
    if any(key in names for key in _MOTION_KEYS.values()):
        return "motion"
    return "resnet" if is_resnet(names) else None


def is_resnet(tensors: Collection[str]) -> bool:
    """Whether the keys are those of torchvision's ResNets."""
    return all(name in tensors for name in ("conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight"))


def _has(tensors: Mapping[str, np.ndarray], part: str) -> bool:
    return any(part in key for key in tensors)


def _preset(tensors: Mapping[str, np.ndarray], name: str) -> str:
    blocks = 1 + max(int(m[1]) for key in tensors if (m := re.match(r"pretrained\.blocks\.(\d+)\.", key)))
    # Any of them will do: missing tensors are all named together later.
    widths = [tensors[key].shape[-1] for key in _WIDTH_KEYS if key in tensors and tensors[key].ndim]
    for preset, backbone in BACKBONES.items():
        if widths and (backbone.width, backbone.depth) == (widths[0], blocks):
            return preset
    known = ", ".join(f"{preset} {b.width} x {b.depth}" for preset, b in BACKBONES.items())
    raise UserError(f"{name}: an encoder {widths[:1]} wide with {blocks} blocks is not known here ({known})")


def _adapter(tensors: Mapping[str, np.ndarray], name: str) -> tuple[str, int]:
    """Returns the adapter of the encoder's first adapted layer and its rank (the default rank where it has none)."""
    default_rank = DepthModelConfig().rank
    layer = next((match[1] for key in tensors if (match := _ADAPTED_LAYER.match(key))), None)
    if layer is None:
        return NO_ADAPTER, default_rank
    added = {key.removeprefix(layer): array for key, array in tensors.items() if key.startswith(layer)}
    for adapter in ADAPTERS.values():
        try:
            rank = adapter.reads(added)
        except ValueError as error:
            raise UserError(f"{name}: {layer}{error}") from error
        if rank is not None:
            return adapter.name, rank if adapter.ranked else default_rank
    return NO_ADAPTER, default_rank


def _choose_family(found: KeyTraits, name: str, family: str | None) -> tuple[Family, tuple[str, ...]]:
    """Returns the family that claims the keys and, if there are several, is named or likely; and notes for the user."""
    claims = {entry.name: entry.claims(found) for entry in FAMILIES.values() if entry.claims is not None}
    allowed = [claimant for claimant, claim in claims.items() if claim != "no"]
    if family is not None:
        if family not in allowed:
            raise UserError(
                f"{name}: --family {family} does not fit its keys, which are those of {' or '.join(allowed)}"
            )
        return FAMILIES[family], ()
    chosen = next(claimant for claimant in allowed if claims[claimant] == "likely")
    if found.plain and not found.video and not _VERSION.search(found.file):
        return FAMILIES[chosen], (
            "Depth Anything V1 and V2 have the same keys and the file's name does not tell them apart: taken as V2; "
            "if it is V1, convert it with --family endodac",
        )
    return FAMILIES[chosen], ()


def _recognise_by_names(tensors: Mapping[str, np.ndarray], name: str, family: str | None) -> DepthWeights:
    """Recognises a family of another package: the first preset whose network takes every tensor."""
    for entry in FAMILIES.values():
        if entry.claims is not None or family not in (None, entry.name):
            continue
        for preset in BACKBONES:
            config = DepthModelConfig.published(entry.name, preset)
            with contextlib.suppress(UserError):
                params_from_torch(tensors, config, name)
                return DepthWeights(entry.name, config)
    raise UserError(f"{name}: {_other_than_depth(tensors)}")


def _other_than_depth(tensors: Mapping[str, np.ndarray]) -> str:
    """Says what a state dict is if it is not a depth network."""
    for network, key in _MOTION_KEYS.items():
        if key in tensors and not key.startswith("encoder."):
            return f"is the {network} of a training folder; convert the whole folder, with its depth_model.pth"
    if "encoder.conv1.weight" in tensors:
        return "is a motion network's encoder; convert the whole folder, with its depth_model.pth"
    if is_resnet(tensors):
        return "is a ResNet, not a depth network"
    if "patch_embed.proj.weight" in tensors:
        return "is a ViT encoder without a depth head; name the weights of a whole network"
    if any(key.startswith("backbone.embeddings.") for key in tensors):
        return "has the names of the transformers library; use the file published with the original program"
    shown = ", ".join(ascii(key)[1:-1][:60] for key in sorted(tensors)[:3])
    return (
        f"is not a network known here; its keys are {shown}, ... ({len(tensors)} tensors); looked for "
        "pretrained.blocks.* or encoder.blocks.* with head.* or depth_head.*, also in entries such as state_dict and "
        "behind prefixes such as module.; save model.state_dict() of the depth network"
    )
