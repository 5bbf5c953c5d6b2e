"""The table of names of the motion networks, whose files accompany a depth network's in a checkpoint folder."""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx

from endodav_jax.conversion.name_rules import read_params, write_params
from endodav_jax.models.resnet import PUBLISHED_LAYERS, stacked_stem
from endodav_jax.models.tensor_names import BATCH_NORM, CONV, LINEAR, LINEAR_OF_CONV, Rule
from endodav_jax.models.training_networks import motion_network


def resnet_rules(here: str = "encoder.", there: str = "encoder.") -> list[Rule]:
    """The rules of a ResNet's state dict: torchvision's names after the prefix `there`."""
    rules = [
        Rule(CONV, f"{here}stem.conv", f"{there}conv1"),
        Rule(BATCH_NORM, f"{here}stem.norm", f"{there}bn1"),
        Rule(LINEAR, f"{here}classifier", f"{there}fc"),
    ]
    for stage in range(4):
        step, layer = f"{here}stages.{stage}.{{}}.", f"{there}layer{stage + 1}.{{}}."
        for i in range(3):
            rules += [
                Rule(CONV, f"{step}steps.{i}.conv", f"{layer}conv{i + 1}"),
                Rule(BATCH_NORM, f"{step}steps.{i}.norm", f"{layer}bn{i + 1}"),
            ]
        rules += [
            Rule(CONV, f"{step}shortcut.conv", f"{layer}downsample.0"),
            Rule(BATCH_NORM, f"{step}shortcut.norm", f"{layer}downsample.1"),
        ]
    return rules


def _pose_rules() -> list[Rule]:
    names = (("squeeze", "squeeze"), ("conv0", "pose_0"), ("conv1", "pose_1"), ("conv2", "pose_2"))
    return [Rule(CONV, f"decoder.{here}", f"convs.{there}", (f"net.{i}",)) for i, (here, there) in enumerate(names)]


def _intrinsics_rules() -> list[Rule]:
    return [
        Rule(CONV, "squeeze", "convs_suqeeze"),
        Rule(LINEAR_OF_CONV, "focal", "focal_length_conv"),
        Rule(LINEAR_OF_CONV, "offset", "offsets_conv"),
    ]


def _unet_rules(head: str, module: str) -> list[Rule]:
    """A U-Net decoder and its heads; every module is listed there twice, by name and by number."""
    rules = []
    for number, level in enumerate(reversed(range(5))):
        for j, stage in enumerate(("before", "after")):
            alias = f"decoder.{2 * number + j}.conv.conv"
            rules.append(Rule(CONV, f"decoder.{stage}.{level}", f"convs.upconv_{level}_{j}.conv.conv", (alias,)))
    for scale in range(4):
        alias = f"decoder.{10 + scale}{module}"
        rules.append(Rule(CONV, f"heads.{scale}", f"convs.{head}_{scale}{module}", (alias,)))
    return rules


class MotionFile(NamedTuple):
    """A file of an EndoDAV folder: a network of `TrainingNetworks`, the parts of it that it holds, and its rules."""

    network: str
    parts: tuple[str, ...]
    rules: list[Rule]


# By the file's name without its suffix.
MOTION_FILES: dict[str, MotionFile] = {
    "pose_encoder": MotionFile("pose", ("encoder",), resnet_rules()),
    "pose": MotionFile("pose", ("decoder",), _pose_rules()),
    "intrinsics_head": MotionFile("intrinsics", ("squeeze", "focal", "offset"), _intrinsics_rules()),
    "position_encoder": MotionFile("flow", ("encoder",), resnet_rules()),
    "position": MotionFile("flow", ("decoder", "heads"), _unet_rules("position_conv", "")),
    "transform_encoder": MotionFile("transform", ("encoder",), resnet_rules()),
    "transform": MotionFile("transform", ("decoder", "heads"), _unet_rules("transform_conv", ".conv")),
}


def motion_params_from_torch(
    file: str, state_dict: Mapping[str, np.ndarray], source: str = "state dict", layers: int = PUBLISHED_LAYERS
) -> dict:
    """Part of the weights of `TrainingNetworks`, as nested dicts from the network's name down.

    Args:
      file: which of `MOTION_FILES` it is.
      state_dict: names and arrays, PyTorch's layouts. Where a tensor stands under two names, the one that PyTorch
        loads last holds.
      source: the file's name, for the error.
      layers: of the network's ResNet.

    Raises:
      UserError: as `params_from_torch`.
    """
    network, parts, rules = MOTION_FILES[file]
    expected = abstract_motion_params(network, layers)
    return {network: read_params(state_dict, {part: expected[part] for part in parts}, rules, source)}


def torch_from_motion_params(file: str, params: dict) -> dict[str, np.ndarray]:
    """The state dict of one of `MOTION_FILES` from the weights of `TrainingNetworks`; every alias is written."""
    network, parts, rules = MOTION_FILES[file]
    return write_params({part: params[network][part] for part in parts}, rules)


def resnet_params_from_torchvision(
    state_dict: Mapping[str, np.ndarray], images: int = 2, source: str = "state dict", layers: int = PUBLISHED_LAYERS
) -> dict:
    """The weights of a motion network's encoder from torchvision's ImageNet ones, for `images` stacked frames."""
    encoder = abstract_motion_params("pose", layers)["encoder"]
    kernel = encoder["stem"]["conv"]["kernel"]
    stem = encoder["stem"] | {
        "conv": {"kernel": jax.ShapeDtypeStruct((*kernel.shape[:2], 3, kernel.shape[3]), kernel.dtype)}
    }
    params = read_params(state_dict, encoder | {"stem": stem}, resnet_rules("", ""), source)
    conv = params["stem"]["conv"]
    conv["kernel"] = np.asarray(stacked_stem(conv["kernel"], images))
    return params


@functools.cache
def abstract_motion_params(network: str, layers: int = PUBLISHED_LAYERS) -> dict:
    """The shapes of the weights of one network of `TrainingNetworks`, other than the depth network."""
    abstract = nnx.eval_shape(lambda: motion_network(network, nnx.Rngs(0), layers=layers))
    return nnx.to_pure_dict(nnx.state(abstract))
