"""Reads and writes PyTorch state dicts by rules that name their tensors (`models.tensor_names`)."""

import functools
import re
from collections.abc import Mapping

import ml_dtypes
import numpy as np
from flax import traverse_util

from endodav_jax.errors import UserError
from endodav_jax.models.tensor_names import Leaf, Rule

Path = tuple[str | int, ...]


# Stored in files along with the parameters: sizes that EndoDAV records, fixed position tables, counters.
IGNORED = re.compile(r"(height|width|use_stereo|.*\.pos_encoder\.pe|.*\.num_batches_tracked)$")


def read_params(state_dict: Mapping[str, np.ndarray], expected: dict, rules: list[Rule], source: str) -> dict:
    """Fills the tree `expected` (of shapes) from a state dict by `rules`; otherwise as `params_from_torch`."""
    unused = {name for name in state_dict if not IGNORED.match(name)}
    missing: list[str] = []
    misshapen: list[str] = []
    not_floating: list[str] = []
    filled: dict[Path, np.ndarray] = {}
    for path, target in traverse_util.flatten_dict(expected).items():
        leaf, names = _names_of(path, rules)
        present = [name for name in names if name in state_dict]
        unused.difference_update(present)
        if not present:
            missing.append(names[0])
            continue
        array = np.asarray(state_dict[present[-1]])  # PyTorch loads aliases in turn, so the last one wins
        if array.dtype.kind != "f" and array.dtype != ml_dtypes.bfloat16:
            not_floating.append(f"{present[-1]} {array.dtype}")
            continue
        wanted = leaf.write(np.empty(target.shape, bool)).shape
        if array.shape != wanted:
            misshapen.append(f"{present[-1]} {list(array.shape)} instead of {list(wanted)}")
            continue
        filled[path] = np.ascontiguousarray(leaf.read(array), target.dtype)
    if not_floating:
        raise UserError(
            f"{source}: {len(not_floating)} parameters are not floating-point numbers, such as {not_floating[0]}; give "
            "weights that are not quantised"
        )
    if missing or unused or misshapen:
        lists = {"missing": missing, "unused": sorted(unused), "misshapen": misshapen}
        told = "; ".join(f"{what} ({len(names)}): {', '.join(names)}" for what, names in lists.items() if names)
        raise UserError(f"{source}: does not fit the network; choose its preset, adapter and head. {told}")
    return traverse_util.unflatten_dict(filled)


def write_params(params: dict, rules: list[Rule]) -> dict[str, np.ndarray]:
    """The state dict of a tree of weights by `rules`, every alias included."""
    state_dict: dict[str, np.ndarray] = {}
    for path, array in traverse_util.flatten_dict(params).items():
        leaf, names = _names_of(path, rules)
        state_dict |= dict.fromkeys(names, np.ascontiguousarray(leaf.write(np.asarray(array))))
        if leaf.name == "running_var":  # PyTorch also counts batches, and does not use the count
            state_dict[names[0].replace("running_var", "num_batches_tracked")] = np.zeros((), np.int64)
    return state_dict


def _names_of(path: Path, rules: list[Rule]) -> tuple[Leaf, list[str]]:
    """The leaf's conversion and its names there, aliases last."""
    dotted = ".".join(map(str, path))
    for rule in rules:
        for suffix, leaf in rule.kind.items():
            match = _pattern(rule.path, suffix).fullmatch(dotted)
            if match:
                return leaf, [
                    ".".join(filter(None, (name.format(*match.groups()), leaf.name)))
                    for name in (rule.name, *rule.aliases)
                ]
    raise KeyError(f"no rule names the parameter {dotted}")


@functools.cache
def _pattern(path: str, suffix: str) -> re.Pattern:
    dotted = ".".join(filter(None, (path, suffix)))
    return re.compile(re.escape(dotted).replace(r"\{\}", r"(\d+)"))
