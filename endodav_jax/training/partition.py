"""The parameters of a run by group, with one optimiser state per group.

Parameters are passed as `{group: {path: array}}`, where `path` is the names from the root joined by dots.  Only the
groups that a step trains are arguments of the differentiated function, so gradients of frozen weights are
never part of the program.  `optax.partition` masks by group label: a group outside the phase has no gradient and its
state is not touched, so its values, moments and count remain bit-identical.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import optax
from flax import traverse_util

Groups = dict[str, dict[str, Any]]  # the leaves are arrays on host or device, or their shapes


def flatten(tree: Mapping) -> dict[str, Any]:
    """Returns a pure nested dict as {dotted path: leaf}."""
    return {".".join(map(str, path)): leaf for path, leaf in traverse_util.flatten_dict(tree).items()}


def unflatten(flat: Mapping[str, Any]) -> dict:
    """Inverse of `flatten`; names made of digits become list positions again, as in `nnx.to_pure_dict`."""
    return traverse_util.unflatten_dict({names_of(path): leaf for path, leaf in flat.items()})


def names_of(path: str) -> tuple[str | int, ...]:
    """Returns the names in a dotted path, with list positions as integers."""
    return tuple(int(name) if name.isdigit() else name for name in path.split("."))


def split_by_group(tree: Mapping, group_of: Callable[[tuple], str]) -> Groups:
    """Sorts the leaves of a pure nested dict into groups; every leaf is in exactly one."""
    groups: Groups = {}
    for path, leaf in flatten(tree).items():
        groups.setdefault(group_of(names_of(path)), {})[path] = leaf
    return groups


def join_groups(*many: Mapping[str, Mapping[str, Any]]) -> dict:
    """Returns the pure nested dict of all groups together.

    Raises:
      ValueError: a path is in two groups.
    """
    flat: dict[str, Any] = {}
    for groups in many:
        for members in groups.values():
            twice = flat.keys() & members.keys()
            if twice:
                raise ValueError(f"{sorted(twice)[0]} belongs to two groups")
            flat |= members
    return unflatten(flat)


def select(groups: Mapping, names: Iterable[str]) -> dict:
    """Returns only the named groups, in the order of `groups`."""
    wanted = set(names)
    return {name: members for name, members in groups.items() if name in wanted}


def init_optimiser(optimisers: Mapping[str, optax.GradientTransformation], params: Groups) -> dict:
    """Returns a fresh state for every group of `params`."""
    partition = partition_of({group: optimisers[group] for group in params}, frozenset(params))
    return dict(partition.init(params).inner_states)


def apply_gradients(
    optimisers: Mapping[str, optax.GradientTransformation],
    learning_rates: Mapping[str, jax.Array],
    grads: Groups,
    states: Mapping,
    params: Groups,
) -> tuple[Groups, dict]:
    """Updates the groups that have gradients.

    Args:
      optimisers: group -> transformation, whose updates have yet to be scaled by the learning rate.
      learning_rates: group -> scalar.  They follow the step of the run, not the group's own update count, which
        does not advance outside its phase.
      grads: gradients of the groups in training.
      states: group -> state, for every group of `params`, as returned by `init_optimiser`.
      params: every group that the run ever trains.

    Returns:
      The parameters and states of all groups; for those without gradients, the very same arrays.
    """
    active = frozenset(grads)
    partition = partition_of({group: optimisers[group] for group in params}, active)
    # Transformations never see a masked group, so its contents do not matter and can be empty.
    trained = {group: params[group] if group in active else {} for group in params}
    state = partition.init(trained)
    state = state._replace(inner_states={g: states[g] if g in active else s for g, s in state.inner_states.items()})
    updates, state = partition.update({group: {} for group in params} | dict(grads), state, trained)
    updates = {
        group: jax.tree.map(lambda update, rate=learning_rates[group]: -rate * update, updates[group])
        for group in active
    }
    updated = optax.apply_updates({group: params[group] for group in active}, updates)
    return (
        {group: updated[group] if group in active else params[group] for group in params},
        {group: state.inner_states[group] if group in active else states[group] for group in params},
    )


def partition_of(
    optimisers: Mapping[str, optax.GradientTransformation], active: frozenset[str]
) -> optax.GradientTransformation:
    """Returns the transformation that updates only the groups in `active`; built once for each such set."""
    return _partition(tuple(optimisers.items()), active)


@functools.cache
def _partition(
    optimisers: tuple[tuple[str, optax.GradientTransformation], ...], active: frozenset[str]
) -> optax.GradientTransformation:
    transforms = {group: own if group in active else optax.set_to_zero() for group, own in optimisers}
    return optax.partition(transforms, {group: group for group in transforms})
