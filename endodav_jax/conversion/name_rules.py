"""Rules that name tensors: which tensor of a PyTorch state dict is which parameter here, and how its axes are turned.

A rule pairs a module's path here with its name there; `{}` stands for an index, the same on both sides.  What a
module holds, its kind says.  Both directions are read from the same rules, so a round trip is exact.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from endodav_jax.errors import UserError

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
# Kept in files beside the parameters: sizes that EndoDAV notes, fixed position tables, counters.
IGNORED = re.compile(r"(height|width|use_stereo|.*\.pos_encoder\.pe|.*\.num_batches_tracked)$")


def read_params(state_dict: Mapping[str, np.ndarray], expected: dict, rules: list[Rule], source: str) -> dict:
    """Fills the tree `expected` (of shapes) from a state dict by `rules`; otherwise as `params_from_torch`."""
    unused = {name for name in state_dict if not IGNORED.match(name)}
    missing: list[str] = []
    misshapen: list[str] = []
    filled: dict[Path, np.ndarray] = {}
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
    state_dict: dict[str, np.ndarray] = {}
    for path, array in _flat(params).items():
        leaf, names = _names_of(path, rules)
        state_dict |= dict.fromkeys(names, np.ascontiguousarray(leaf.write(np.asarray(array))))
        if leaf.name == "running_var":  # PyTorch counts batches beside it, and uses the count for nothing
            state_dict[names[0].replace("running_var", "num_batches_tracked")] = np.zeros((), np.int64)
    return state_dict


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


@functools.cache
def _pattern(path: str, suffix: str) -> re.Pattern:
    dotted = ".".join(filter(None, (path, suffix)))
    return re.compile(re.escape(dotted).replace(r"\{\}", r"(\d+)"))


def _flat(tree: dict, prefix: Path = ()) -> dict[Path, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    flat: dict[Path, Any] = {}
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
