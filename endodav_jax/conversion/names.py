"""The table of names of the depth networks, and their weights from and to PyTorch's state dicts."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from endodav_jax.conversion.name_rules import Rule, read_params, write_params
from endodav_jax.errors import UserError
from endodav_jax.models.build import abstract_params
from endodav_jax.models.config import MAX_FRAMES, DepthModelConfig
from endodav_jax.models.motion_module import ATTENTIONS, cache_shapes, sinusoidal_table

_ADAPTED = {"none": "linear", "ssb": "ssb", "lora": "low_rank", "dvlora": "low_rank"}

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


def with_common_names(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """A depth network's state dict with its encoder called `pretrained`; EndoDAC's own program calls it `encoder`."""
    return {re.sub(r"^encoder\.", "pretrained.", name): array for name, array in state_dict.items()}


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
    state_dict = with_common_names(state_dict)
    _refuse_other_position_grids(state_dict, expected, source)
    return read_params(state_dict, expected, depth_rules(config), source)


def torch_from_params(params: dict, config: DepthModelConfig) -> dict[str, np.ndarray]:
    """The PyTorch state dict of a depth network's weights: published names and layouts."""
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


def _refuse_other_position_grids(state_dict: Mapping[str, np.ndarray], expected: dict, source: str) -> None:
    length = expected["encoder"]["pos_embed"].shape[1]
    embeddings = state_dict.get(POSITION_NAME)
    if embeddings is not None and np.ndim(embeddings) == 3 and np.shape(embeddings)[1] != length:
        raise UserError(
            f"{source}: {POSITION_NAME} has {np.shape(embeddings)[1]} positions, wanted {length} (37 x 37 patches and"
            " the class token); give weights that were trained at 518 x 518 with patch 14"
        )
