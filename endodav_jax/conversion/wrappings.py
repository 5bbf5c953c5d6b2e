"""Finds a network's state dict among everything that training programs save around and next to it.

A checkpoint may keep the weights some dicts deep (`{"state_dict": {"model": ...}}`), next to counters, random states,
an optimiser and a second, averaged copy; and wrappers of modules leave their marks in the names (`module.` of
DataParallel, `_orig_mod.` of torch.compile, `model.` of Lightning).  What counts is where a known network's names are.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from endodav_jax.conversion.name_rules import IGNORED
from endodav_jax.conversion.recognise import KINDS, kind_of

MAX_WRAPPERS = 8  # dicts around the state dict, and prefixes of its names
# Where several entries hold a known network, the first of these is taken, and averaged copies last.
_ENTRIES = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params", "student")
_AVERAGED = ("ema", "teacher", "averaged", "shadow", "swa")
# Names of modules that only wrap others; no published network has a part with such a name.
_INVISIBLE = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
_PARALLEL = "module"  # DataParallel's, around the network or a part of it
# Not `net.`, by which the published motion decoders call their layers.
_PREFIXES = ("state_dict", "model", "network", "module", "weights", "params", "student", *_AVERAGED, "ema_model")


@dataclasses.dataclass(frozen=True)
class Found:
    """A state dict and the way to it.

    Attributes:
      place: the entries that lead to it, such as `("state_dict", "model")`; empty for the file itself.
      tensors: name without wrappers' marks -> array.
      entries: entries of the same dict that are not tensors.
      left_out: names of tensors beside the network in the same dict.
      others: places of further known networks in the file.
      kind: of the network, as `recognise.kind_of` tells it; None where it is not known here.
    """

    place: tuple[str, ...]
    tensors: dict[str, np.ndarray]
    entries: dict[str, object]
    left_out: tuple[str, ...] = ()
    others: tuple[tuple[str, ...], ...] = ()
    kind: str | None = None

    def notes(self) -> tuple[str, ...]:
        """What the user should know about the choice, one sentence each; empty if there was no choice."""
        notes = []
        if self.others:
            also = ", ".join(shown(place) for place in self.others)
            notes.append(f"several entries hold a network: {shown(self.place)} is taken, left out: {also}")
        if self.left_out:
            names = ", ".join(sorted(self.left_out)[:5]) + (", ..." if len(self.left_out) > 5 else "")
            notes.append(f"left out, no part of the network ({len(self.left_out)}): {names}")
        return tuple(notes)


def shown(place: tuple[str, ...]) -> str:
    """A place as people write it."""
    return ".".join(ascii(name)[1:-1][:60] for name in place) or "the file's own names"


def find_network(saved) -> Found | None:
    """Returns the state dict of a saved object, or None where no dict in it holds tensors under names.

    A known network is preferred to any other dict, wherever it lies, and a depth network to others; where none is
    known, the dict with the most tensors is taken.  An optimiser's state is passed over.
    """
    candidates = [_without_marks(place, state) for place, state in _state_dicts(saved)]
    if not candidates:
        return None
    known = [found for found in candidates if found.kind]
    if known:
        chosen, *others = sorted(known, key=lambda found: (KINDS.index(found.kind), *_rank(found.place)))
        return dataclasses.replace(chosen, others=(*chosen.others, *(found.place for found in others)))
    return max(candidates, key=lambda found: (len(found.tensors), *(-n for n in _rank(found.place))))


def _state_dicts(saved, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping]]:
    """Every dict with tensors directly under names, the optimisers' left out."""
    if not isinstance(saved, dict) or len(place) > MAX_WRAPPERS or "param_groups" in saved:
        return
    if not all(isinstance(name, str) for name in saved):
        return
    if any(isinstance(value, np.ndarray) for value in saved.values()):
        yield place, saved
    for name, value in saved.items():
        yield from _state_dicts(value, (*place, name))


def _rank(place: tuple[str, ...]) -> tuple[int, int, int]:
    """Sorts places: plain ones before averaged ones, known words before others, in their order."""
    averaged = any(part in name.lower() for name in place for part in _AVERAGED)
    words = [_ENTRIES.index(name) if name in _ENTRIES else len(_ENTRIES) for name in place]
    return int(averaged), max(words, default=0), len(place)


def _without_marks(place: tuple[str, ...], state: Mapping) -> Found:
    """Takes wrappers' marks off the names, as far as that leads to a known network or all names share them."""
    tensors = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    entries = {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}
    plain = _renamed(tensors, _INVISIBLE)
    without_parallel = _renamed(plain, (_PARALLEL,))
    if kind_of(without_parallel):
        return _split(place, without_parallel, entries, "")
    shared = plain
    for _ in range(MAX_WRAPPERS):
        if kind_of(shared):
            return _split(place, shared, entries, "")
        prefix = next((f"{word}." for word in _PREFIXES if all(name.startswith(f"{word}.") for name in shared)), None)
        if prefix is None:
            break
        shared = _below(shared, prefix)
    # The network is one part of what was saved.
    prefixes = [prefix for prefix in _prefixes_of(without_parallel) if kind_of(_below(without_parallel, prefix))]
    if prefixes:
        return _best_part(place, without_parallel, entries, prefixes)
    return Found(place, shared, entries)


def _best_part(place, names: dict[str, np.ndarray], entries: dict[str, object], prefixes: list[str]) -> Found:
    """The network below the best of the prefixes that lead to one."""

    def rank(prefix: str):
        return KINDS.index(kind_of(_below(names, prefix))), *_rank(tuple(prefix.split(".")[:-1]))

    prefix, *others = sorted(prefixes, key=rank)
    found = _split(place, names, entries, prefix)
    others = [other for other in others if not any(other != outer and other.startswith(outer) for outer in prefixes)]
    return dataclasses.replace(
        found,
        left_out=tuple(name for name in found.left_out if not name.startswith(tuple(others))),
        others=tuple((*place, *other.split(".")[:-1]) for other in others),
    )


def _split(place: tuple[str, ...], tensors: dict[str, np.ndarray], entries: dict[str, object], prefix: str) -> Found:
    """The tensors below a prefix; those beside them, such as a counter of epochs, are left out and named."""
    below = _below(tensors, prefix)
    inside = {name: value for name, value in below.items() if "." in name or IGNORED.match(name)}
    kept = {prefix + name for name in inside}
    left_out = tuple(name for name in tensors if name not in kept)
    return Found(place, inside, entries, left_out, kind=kind_of(inside))


def _below(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _prefixes_of(names: Mapping[str, np.ndarray]) -> list[str]:
    """Every beginning of a name up to a dot, `""` included, at most `MAX_WRAPPERS` parts long."""
    prefixes = {"": None}
    for name in names:
        parts = name.split(".")[:-1]
        for count in range(1, min(len(parts), MAX_WRAPPERS) + 1):
            prefixes[".".join(parts[:count]) + "."] = None
    return list(prefixes)


def _renamed(tensors: dict[str, np.ndarray], parts: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The tensors by names without these parts, or unchanged if two names would coincide or one would be empty."""
    names = [".".join(part for part in name.split(".") if part not in parts) for name in tensors]
    if len(set(names)) < len(names) or not all(names):
        return tensors
    return dict(zip(names, tensors.values(), strict=True))
