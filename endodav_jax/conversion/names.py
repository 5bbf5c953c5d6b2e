"""Converts depth networks' weights from and to PyTorch state dicts, by the names of each family."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from endodav_jax.conversion.name_rules import read_params, write_params
from endodav_jax.errors import UserError
from endodav_jax.models.build import abstract_params
from endodav_jax.models.config import DepthModelConfig

POSITION_NAME = "pretrained.pos_embed"


def with_common_names(state_dict: Mapping[str, Any], source: str = "state dict") -> dict[str, Any]:
    """A depth network's state dict with its encoder called `pretrained`; EndoDAC's own program calls it `encoder`.

    Raises:
      UserError: there are tensors under both names, of which one would be dropped.
    """
    common = {name: re.sub(r"^encoder\.", "pretrained.", name) for name in state_dict}
    twice = [name for name, new in common.items() if name != new and new in state_dict]
    if twice:
        raise UserError(
            f"{source}: {twice[0]} and {common[twice[0]]} are one parameter ({len(twice)} such pairs); "
            "save only the network that is meant"
        )
    return {common[name]: array for name, array in state_dict.items()}


def params_from_torch(
    state_dict: Mapping[str, np.ndarray], config: DepthModelConfig, source: str = "state dict"
) -> dict:
    """The weights of `config`'s network, as nested dicts of float32 arrays, from a PyTorch state dict.

    Args:
      state_dict: names and arrays, PyTorch's layouts.
      config: the network that it belongs to.
      source: the file's name, for the error.

    Raises:
      UserError: one line that lists every tensor that is missing, unused or of another shape.
    """
    expected = abstract_params(config)
    state_dict = with_common_names(state_dict, source)
    _refuse_other_position_grids(state_dict, expected, source)
    return read_params(state_dict, expected, config.family_entry.tensor_names(config), source)


def torch_from_params(params: dict, config: DepthModelConfig) -> dict[str, np.ndarray]:
    """The PyTorch state dict of a depth network's weights: published names and layouts."""
    return write_params(params, config.family_entry.tensor_names(config))


def fixed_tables(config: DepthModelConfig) -> dict[str, np.ndarray]:
    """What published files hold besides parameters, such as position tables, for a strict load in PyTorch."""
    return config.family_entry.fixed_tensors(config)


def _refuse_other_position_grids(state_dict: Mapping[str, np.ndarray], expected: dict, source: str) -> None:
    embeddings, here = state_dict.get(POSITION_NAME), expected.get("encoder", {}).get("pos_embed")
    if embeddings is None or here is None:
        return
    length = here.shape[1]
    if np.ndim(embeddings) == 3 and np.shape(embeddings)[1] != length:
        raise UserError(
            f"{source}: {POSITION_NAME} has {np.shape(embeddings)[1]} positions, wanted {length} (37 x 37 patches and"
            " the class token); give weights that were trained at 518 x 518 with patch 14"
        )
