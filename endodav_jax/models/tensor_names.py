"""The names of the depth networks' tensors in the published programs, and the order of their axes.

A rule pairs a module's path here with its name there; `{}` stands for an index, the same on both sides.  Which
tensors a module has, its kind says.  Both directions are read from the same rules, so a round trip is exact.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np


class Leaf(NamedTuple):
    """One tensor of a module: its name there, and how to turn it there -> here and back."""

    name: str
    read: Callable[[np.ndarray], np.ndarray]
    write: Callable[[np.ndarray], np.ndarray]


Kind = Mapping[str, Leaf]  # parameter of a module -> its tensor


class Rule(NamedTuple):
    """`path` and `name` of a module, both with dots and `{}`; `aliases` are further names of the same tensors."""

    kind: Kind
    path: str
    name: str
    aliases: tuple[str, ...] = ()


def turned(name: str, forward: tuple[int, ...]) -> Leaf:
    """A tensor whose axes are in another order there: axis i here is axis `forward[i]` there."""
    backward = tuple(int(i) for i in np.argsort(forward))
    return Leaf(name, lambda a: a.transpose(forward), lambda a: a.transpose(backward))


def squeezed(name: str, axis: int) -> Leaf:
    """A tensor that has one more axis there, of length 1."""
    return Leaf(name, lambda a: np.squeeze(a, axis), lambda a: np.expand_dims(a, axis))


def same(name: str) -> Leaf:
    """A tensor with the same layout on both sides."""
    return Leaf(name, np.asarray, np.asarray)


TENSOR: Kind = {"": same("")}
LINEAR: Kind = {"kernel": turned("weight", (1, 0)), "bias": same("bias")}
LINEAR_OF_CONV: Kind = {  # a 1x1 convolution there, a linear layer here
    "kernel": Leaf("weight", lambda a: a[:, :, 0, 0].T, lambda a: a.T[:, :, None, None]),
    "bias": same("bias"),
}
CONV: Kind = {"kernel": turned("weight", (2, 3, 1, 0)), "bias": same("bias")}
TRANSPOSED_CONV: Kind = {"kernel": turned("weight", (2, 3, 0, 1)), "bias": same("bias")}
NORM: Kind = {"scale": same("weight"), "bias": same("bias")}
BATCH_NORM: Kind = {**NORM, "mean": same("running_mean"), "var": same("running_var")}


def adapted(tensors: Mapping[str, Leaf]) -> Kind:
    """A linear layer with an adapter of those tensors; none for a plain layer."""
    return {**LINEAR, **{f"adapter.{parameter}": leaf for parameter, leaf in tensors.items()}}


def encoder_rules(layer: Kind) -> list[Rule]:
    """The rules of the encoder, with `layer` as the kind of fc1 and fc2."""
    here, there = "encoder.blocks.{}.", "pretrained.blocks.{}."
    return [
        *(Rule(TENSOR, f"encoder.{name}", f"pretrained.{name}") for name in ("cls_token", "pos_embed", "mask_token")),
        Rule(CONV, "encoder.patch_embed", "pretrained.patch_embed.proj"),
        Rule(NORM, "encoder.norm", "pretrained.norm"),
        *(Rule(NORM, f"{here}norm{i}", f"{there}norm{i}") for i in (1, 2)),
        *(Rule(TENSOR, f"{here}layer_scale{i}", f"{there}ls{i}.gamma") for i in (1, 2)),
        *(Rule(LINEAR, f"{here}attention.{name}", f"{there}attn.{name}") for name in ("qkv", "proj")),
        *(Rule(layer, f"{here}mlp.{name}", f"{there}mlp.{name}") for name in ("fc1", "fc2")),
        *(Rule(CONV, f"{here}residual.conv{i}", f"{there}residual_.conv{i}") for i in (1, 2, 3)),
        *(Rule(NORM, f"{here}residual.norm{i}", f"{there}residual_.norm{i}") for i in (1, 2, 3)),
    ]


def head_rules(prefix: str) -> list[Rule]:
    """The rules of the DPT head, which is called `prefix` there."""
    scratch = f"{prefix}.scratch."
    rules = [
        Rule(LINEAR_OF_CONV, "head.projects.{}", f"{prefix}.projects.{{}}"),
        Rule(TRANSPOSED_CONV, "head.upsample_1", f"{prefix}.resize_layers.0"),
        Rule(TRANSPOSED_CONV, "head.upsample_2", f"{prefix}.resize_layers.1"),
        Rule(CONV, "head.downsample_4", f"{prefix}.resize_layers.3"),
        Rule(CONV, "head.output.conv1", f"{scratch}output_conv1"),
        Rule(CONV, "head.output.conv2", f"{scratch}output_conv2.0"),
        Rule(CONV, "head.output.conv3", f"{scratch}output_conv2.2"),
    ]
    for level in range(4):
        fusion, refine = f"head.fusions.{level}.", f"{scratch}refinenet{level + 1}."
        rules += [
            Rule(CONV, f"head.level_convs.{level}", f"{scratch}layer{level + 1}_rn"),
            Rule(CONV, f"{fusion}out_conv", f"{refine}out_conv"),
            *(
                Rule(CONV, f"{fusion}unit{u}.conv{c}", f"{refine}resConfUnit{u}.conv{c}")
                for u in (1, 2)
                for c in (1, 2)
            ),
            *(
                Rule(CONV, f"head.depth_heads.{level}.conv{i + 1}", f"{prefix}.conv_depth_{level + 1}.head.{2 * i}")
                for i in range(3)
            ),
        ]
    return rules


# A motion module's block there; the index is the module's.
_MOTION_BLOCK = "head.motion_modules.{}.temporal_transformer.transformer_blocks.0."


def motion_module_rules(layer: Kind) -> list[Rule]:
    """The rules of the motion modules, with `layer` as the kind of their feed-forward's last layer."""
    here, there = "head.motion_modules.{}.", "head.motion_modules.{}.temporal_transformer."
    attention, attention_there = f"{here}attentions.{{}}.", f"{_MOTION_BLOCK}attention_blocks.{{}}."
    return [
        Rule(NORM, f"{here}norm", f"{there}norm"),
        Rule(LINEAR, f"{here}proj_in", f"{there}proj_in"),
        Rule(LINEAR, f"{here}proj_out", f"{there}proj_out"),
        Rule(NORM, f"{attention}norm", f"{_MOTION_BLOCK}norms.{{}}"),
        *(Rule(LINEAR, f"{attention}to_{x}", f"{attention_there}to_{x}") for x in "qkv"),
        Rule(LINEAR, f"{attention}to_out", f"{attention_there}to_out.0"),
        Rule(NORM, f"{here}feed_forward.norm", f"{_MOTION_BLOCK}ff_norm"),
        Rule(LINEAR, f"{here}feed_forward.project_in", f"{_MOTION_BLOCK}ff.net.0.proj"),
        Rule(layer, f"{here}feed_forward.project_out", f"{_MOTION_BLOCK}ff.net.2"),
    ]


def position_table_name(module: int, attention: int) -> str:
    """The name of the fixed position table that published files hold for each attention of a motion module."""
    return f"{_MOTION_BLOCK.format(module)}attention_blocks.{attention}.pos_encoder.pe"
