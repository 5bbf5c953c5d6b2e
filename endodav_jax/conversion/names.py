"""The table of names: which tensor of a PyTorch state dict is which parameter here, and how its axes are turned.

A rule pairs a module's path here with its name there; `{}` stands for an index, the same on both sides.  What a
module holds, its kind says.  Both directions are read from the same rules, so a round trip is exact.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx

from endodav_jax.errors import UserError
from endodav_jax.models.build import abstract_params
from endodav_jax.models.config import MAX_FRAMES, DepthModelConfig
from endodav_jax.models.flow import FlowNet, TransformNet
from endodav_jax.models.layers import Numerics
from endodav_jax.models.motion_module import ATTENTIONS, cache_shapes, sinusoidal_table
from endodav_jax.models.pose import IntrinsicsHead, PoseNet
from endodav_jax.models.resnet import last_width, stacked_stem

Path = tuple[str | int, ...]


class Leaf(NamedTuple):
    """One tensor of a module: its name there, and how to turn it there -> here and back."""

    name: str
    read: Callable[[np.ndarray], np.ndarray]
    write: Callable[[np.ndarray], np.ndarray]


class Rule(NamedTuple):
    """`path` and `name` of a module, both with dots and `{}`; `aliases` are further names of the same tensors."""

    kind: str
    path: str
    name: str
    aliases: tuple[str, ...] = ()


def _leaf(name: str, forward: tuple[int, ...] | None = None) -> Leaf:
    if forward is None:
        return Leaf(name, np.asarray, np.asarray)
    backward = tuple(int(i) for i in np.argsort(forward))
    return Leaf(name, lambda a: a.transpose(forward), lambda a: a.transpose(backward))


def _squeezed(name: str, axis: int) -> Leaf:
    return Leaf(name, lambda a: np.squeeze(a, axis), lambda a: np.expand_dims(a, axis))


_NORM = {"scale": _leaf("weight"), "bias": _leaf("bias")}
_LINEAR = {"kernel": _leaf("weight", (1, 0)), "bias": _leaf("bias")}
KINDS: dict[str, dict[str, Leaf]] = {
    "linear": _LINEAR,
    "linear_of_conv": {  # a 1x1 convolution there, a linear layer here
        "kernel": Leaf("weight", lambda a: a[:, :, 0, 0].T, lambda a: a.T[:, :, None, None]),
        "bias": _leaf("bias"),
    },
    "conv": {"kernel": _leaf("weight", (2, 3, 1, 0)), "bias": _leaf("bias")},
    "transposed_conv": {"kernel": _leaf("weight", (2, 3, 0, 1)), "bias": _leaf("bias")},
    "norm": _NORM,
    "batch_norm": _NORM | {"mean": _leaf("running_mean"), "var": _leaf("running_var")},
    "ssb": _LINEAR | {"adapter.scale_in": _squeezed("lora_A", 1), "adapter.scale_out": _squeezed("lora_B", 1)},
    "low_rank": _LINEAR
    | {
        "adapter.lora_a": _leaf("lora_A", (1, 0)),
        "adapter.lora_b": _leaf("lora_B", (1, 0)),
        "adapter.lora_u": _squeezed("lora_U", 1),
        "adapter.lora_v": _squeezed("lora_V", 1),
    },
    "tensor": {"": _leaf("")},
}
_ADAPTED = {"none": "linear", "ssb": "ssb", "lora": "low_rank", "dvlora": "low_rank"}

# Kept in files beside the parameters: sizes that EndoDAV notes, fixed position tables, counters.
IGNORED = re.compile(r"(height|width|use_stereo|.*\.pos_encoder\.pe|.*\.num_batches_tracked)$")
POSITION_NAME = "pretrained.pos_embed"


def _encoder_rules(config: DepthModelConfig) -> list[Rule]:
    here, there = "encoder.blocks.{}.", "pretrained.blocks.{}."
    adapted = _ADAPTED[config.adapter]
    return [
        *(Rule("tensor", f"encoder.{name}", f"pretrained.{name}") for name in ("cls_token", "pos_embed", "mask_token")),
        Rule("conv", "encoder.patch_embed", "pretrained.patch_embed.proj"),
        Rule("norm", "encoder.norm", "pretrained.norm"),
        *(Rule("norm", f"{here}norm{i}", f"{there}norm{i}") for i in (1, 2)),
        *(Rule("tensor", f"{here}layer_scale{i}", f"{there}ls{i}.gamma") for i in (1, 2)),
        *(Rule("linear", f"{here}attention.{name}", f"{there}attn.{name}") for name in ("qkv", "proj")),
        *(Rule(adapted, f"{here}mlp.{name}", f"{there}mlp.{name}") for name in ("fc1", "fc2")),
        *(Rule("conv", f"{here}residual.conv{i}", f"{there}residual_.conv{i}") for i in (1, 2, 3)),
        *(Rule("norm", f"{here}residual.norm{i}", f"{there}residual_.norm{i}") for i in (1, 2, 3)),
    ]


def _head_rules(prefix: str) -> list[Rule]:
    scratch = f"{prefix}.scratch."
    rules = [
        Rule("linear_of_conv", "head.projects.{}", f"{prefix}.projects.{{}}"),
        Rule("transposed_conv", "head.upsample_1", f"{prefix}.resize_layers.0"),
        Rule("transposed_conv", "head.upsample_2", f"{prefix}.resize_layers.1"),
        Rule("conv", "head.downsample_4", f"{prefix}.resize_layers.3"),
        Rule("conv", "head.output.conv1", f"{scratch}output_conv1"),
        Rule("conv", "head.output.conv2", f"{scratch}output_conv2.0"),
        Rule("conv", "head.output.conv3", f"{scratch}output_conv2.2"),
    ]
    for level in range(4):
        fusion, refine = f"head.fusions.{level}.", f"{scratch}refinenet{level + 1}."
        rules += [
            Rule("conv", f"head.level_convs.{level}", f"{scratch}layer{level + 1}_rn"),
            Rule("conv", f"{fusion}out_conv", f"{refine}out_conv"),
            *(
                Rule("conv", f"{fusion}unit{u}.conv{c}", f"{refine}resConfUnit{u}.conv{c}")
                for u in (1, 2)
                for c in (1, 2)
            ),
            *(
                Rule("conv", f"head.depth_heads.{level}.conv{i + 1}", f"{prefix}.conv_depth_{level + 1}.head.{2 * i}")
                for i in range(3)
            ),
        ]
    return rules


def _motion_module_rules(config: DepthModelConfig) -> list[Rule]:
    here, there = "head.motion_modules.{}.", "head.motion_modules.{}.temporal_transformer."
    block = f"{there}transformer_blocks.0."
    attention, attention_there = f"{here}attentions.{{}}.", f"{block}attention_blocks.{{}}."
    adapted = _ADAPTED[config.adapter if config.temporal_adapter else "none"]
    return [
        Rule("norm", f"{here}norm", f"{there}norm"),
        Rule("linear", f"{here}proj_in", f"{there}proj_in"),
        Rule("linear", f"{here}proj_out", f"{there}proj_out"),
        Rule("norm", f"{attention}norm", f"{block}norms.{{}}"),
        *(Rule("linear", f"{attention}to_{x}", f"{attention_there}to_{x}") for x in "qkv"),
        Rule("linear", f"{attention}to_out", f"{attention_there}to_out.0"),
        Rule("norm", f"{here}feed_forward.norm", f"{block}ff_norm"),
        Rule("linear", f"{here}feed_forward.project_in", f"{block}ff.net.0.proj"),
        Rule(adapted, f"{here}feed_forward.project_out", f"{block}ff.net.2"),
    ]


def depth_rules(config: DepthModelConfig) -> list[Rule]:
    """The rules of a depth network's state dict."""
    if config.family == "endodac":
        return _encoder_rules(config) + _head_rules("depth_head")
    return _encoder_rules(config) + _head_rules("head") + _motion_module_rules(config)


def resnet_rules(here: str = "encoder.", there: str = "encoder.") -> list[Rule]:
    """The rules of a ResNet's state dict: torchvision's names after the prefix `there`."""
    rules = [
        Rule("conv", f"{here}stem.conv", f"{there}conv1"),
        Rule("batch_norm", f"{here}stem.norm", f"{there}bn1"),
        Rule("linear", f"{here}classifier", f"{there}fc"),
    ]
    for stage in range(4):
        step, layer = f"{here}stages.{stage}.{{}}.", f"{there}layer{stage + 1}.{{}}."
        for i in range(3):
            rules += [
                Rule("conv", f"{step}steps.{i}.conv", f"{layer}conv{i + 1}"),
                Rule("batch_norm", f"{step}steps.{i}.norm", f"{layer}bn{i + 1}"),
            ]
        rules += [
            Rule("conv", f"{step}shortcut.conv", f"{layer}downsample.0"),
            Rule("batch_norm", f"{step}shortcut.norm", f"{layer}downsample.1"),
        ]
    return rules


def _pose_rules() -> list[Rule]:
    names = (("squeeze", "squeeze"), ("conv0", "pose_0"), ("conv1", "pose_1"), ("conv2", "pose_2"))
    return [Rule("conv", f"decoder.{here}", f"convs.{there}", (f"net.{i}",)) for i, (here, there) in enumerate(names)]


def _intrinsics_rules() -> list[Rule]:
    return [
        Rule("conv", "squeeze", "convs_suqeeze"),
        Rule("linear_of_conv", "focal", "focal_length_conv"),
        Rule("linear_of_conv", "offset", "offsets_conv"),
    ]


def _unet_rules(head: str, module: str) -> list[Rule]:
    """A U-Net decoder and its heads; every module stands there twice, by name and by number."""
    rules = []
    for number, level in enumerate(reversed(range(5))):
        for j, stage in enumerate(("before", "after")):
            alias = f"decoder.{2 * number + j}.conv.conv"
            rules.append(Rule("conv", f"decoder.{stage}.{level}", f"convs.upconv_{level}_{j}.conv.conv", (alias,)))
    for scale in range(4):
        alias = f"decoder.{10 + scale}{module}"
        rules.append(Rule("conv", f"heads.{scale}", f"convs.{head}_{scale}{module}", (alias,)))
    return rules


class MotionFile(NamedTuple):
    """A file of an EndoDAV folder: the network of `TrainingNetworks` and the parts of it that it holds, and its rules."""

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


def params_from_torch(
    state_dict: Mapping[str, np.ndarray], config: DepthModelConfig, source: str = "state dict"
) -> dict:
    """The weights of `config`'s network, as nested dicts of float32 arrays, from a PyTorch state dict.

    Args:
      state_dict: names and arrays, PyTorch's layouts.
      config: the network it is of.
      source: the file's name, for the error.

    Raises:
      UserError: one line that lists every tensor that is missing, unused or of another shape.
    """
    expected = abstract_params(config)
    _refuse_other_position_grids(state_dict, expected, source)
    return read_params(state_dict, expected, depth_rules(config), source)


def torch_from_params(params: dict, config: DepthModelConfig) -> dict[str, np.ndarray]:
    """The PyTorch state dict of a depth network's weights: names, layouts and order as published programs have them."""
    return write_params(params, depth_rules(config))


def fixed_tables(config: DepthModelConfig) -> dict[str, np.ndarray]:
    """The position tables that published video networks keep in their files, for a strict load in PyTorch."""
    if config.family == "endodac":
        return {}
    block = "head.motion_modules.{}.temporal_transformer.transformer_blocks.0.attention_blocks.{}.pos_encoder.pe"
    return {
        block.format(i, j): sinusoidal_table(MAX_FRAMES, channels)[None]
        for i, (_, channels) in enumerate(cache_shapes(config))
        for j in range(ATTENTIONS)
    }


def motion_params_from_torch(
    file: str, state_dict: Mapping[str, np.ndarray], source: str = "state dict", layers: int = 18
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
    state_dict: Mapping[str, np.ndarray], images: int = 2, source: str = "state dict", layers: int = 18
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
def abstract_motion_params(network: str, layers: int = 18) -> dict:
    """The shapes of the weights of one network of `TrainingNetworks` but the depth network."""
    numerics = Numerics.of("float32")
    build = {
        "pose": lambda: PoseNet(nnx.Rngs(0), layers=layers, numerics=numerics),
        "intrinsics": lambda: IntrinsicsHead(nnx.Rngs(0), encoder_width=last_width(layers)),
        "flow": lambda: FlowNet(nnx.Rngs(0), layers=layers, numerics=numerics),
        "transform": lambda: TransformNet(nnx.Rngs(0), layers=layers, numerics=numerics),
    }
    return nnx.to_pure_dict(nnx.state(nnx.eval_shape(build[network])))


def read_params(state_dict: Mapping[str, np.ndarray], expected: dict, rules: list[Rule], source: str) -> dict:
    """Fills the tree `expected` (of shapes) from a state dict by `rules`; otherwise as `params_from_torch`."""
    unused = {name for name in state_dict if not IGNORED.match(name)}
    missing, misshapen, filled = [], [], {}
    for path, target in _flat(expected).items():
        leaf, names = _names_of(path, rules)
        present = [name for name in names if name in state_dict]
        unused.difference_update(present)
        if not present:
            missing.append(names[0])
            continue
        array = np.asarray(state_dict[present[-1]])  # PyTorch loads aliases in turn, so the last one holds
        wanted = leaf.write(np.empty(target.shape, bool)).shape
        if array.shape != wanted:
            misshapen.append(f"{present[-1]} {list(array.shape)} instead of {list(wanted)}")
            continue
        filled[path] = np.ascontiguousarray(leaf.read(array), target.dtype)
    if missing or unused or misshapen:
        lists = {"missing": missing, "unused": sorted(unused), "misshapen": misshapen}
        told = "; ".join(f"{what} ({len(names)}): {', '.join(names)}" for what, names in lists.items() if names)
        raise UserError(f"{source}: does not fit the network; choose its preset, adapter and head. {told}")
    return _nested(filled)


def write_params(params: dict, rules: list[Rule]) -> dict[str, np.ndarray]:
    """The state dict of a tree of weights by `rules`, every alias included."""
    state_dict = {}
    for path, array in _flat(params).items():
        leaf, names = _names_of(path, rules)
        state_dict |= dict.fromkeys(names, np.ascontiguousarray(leaf.write(np.asarray(array))))
        if leaf.name == "running_var":  # PyTorch counts batches beside it, and uses the count for nothing
            state_dict[names[0].replace("running_var", "num_batches_tracked")] = np.zeros((), np.int64)
    return state_dict


def _refuse_other_position_grids(state_dict: Mapping[str, np.ndarray], expected: dict, source: str) -> None:
    length = expected["encoder"]["pos_embed"].shape[1]
    embeddings = state_dict.get(POSITION_NAME)
    if embeddings is not None and np.ndim(embeddings) == 3 and np.shape(embeddings)[1] != length:
        raise UserError(
            f"{source}: {POSITION_NAME} has {np.shape(embeddings)[1]} positions, wanted {length} (37 x 37 patches and"
            " the class token); give weights that were trained at 518 x 518 with patch 14"
        )


def _names_of(path: Path, rules: list[Rule]) -> tuple[Leaf, list[str]]:
    """The leaf's turning and its names there, aliases last."""
    dotted = ".".join(map(str, path))
    for rule in rules:
        for suffix, leaf in KINDS[rule.kind].items():
            match = _pattern(rule.path, suffix).fullmatch(dotted)
            if match:
                return leaf, [
                    ".".join(filter(None, (name.format(*match.groups()), leaf.name)))
                    for name in (rule.name, *rule.aliases)
                ]
    raise KeyError(f"no rule names the parameter {dotted}")


def _pattern(path: str, suffix: str) -> re.Pattern:
    dotted = ".".join(filter(None, (path, suffix)))
    return re.compile(re.escape(dotted).replace(r"\{\}", r"(\d+)"))


def _flat(tree: dict, prefix: Path = ()) -> dict[Path, object]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    flat = {}
    for name, branch in tree.items():
        flat |= _flat(branch, (*prefix, name))
    return flat


def _nested(flat: Mapping[Path, object]) -> dict:
    tree: dict = {}
    for path, value in flat.items():
        branch = tree
        for name in path[:-1]:
            branch = branch.setdefault(name, {})
        branch[path[-1]] = value
    return tree
