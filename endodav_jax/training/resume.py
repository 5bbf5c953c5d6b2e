"""Checks whether a checkpoint can be resumed with a configuration; changed fields are reported one by one."""

import sys
from collections.abc import Mapping
from typing import Any

from endodav_jax.errors import UserError

# Fields (or sections, ending in a dot) that may change on resume: how data are read and decoded, what is written when,
# what only other jobs use, and what is not used after the first step (a checkpoint names its frozen weights by
# digest).
_FREE = (
    "job", "weights", "pretrain.", "infer.", "evaluate.",
    "data.path", "data.threads", "data.workers", "data.prefetch",
    "train.allow_changes", "train.resnet_weights", "train.remat", "train.objective.remat", "train.on_nan",
    "train.save_every", "train.keep_last", "train.log_every", "train.picture_every",
    "train.validation_path", "train.validation_split", "train.validation_frames", "train.validate_every",
    "train.coordinator", "train.processes", "train.process",
)  # fmt: skip
# How far a run goes.  It is no part of what a step does, unless rates come down over its whole length.
_LENGTH = ("train.steps", "train.epochs")
_MISSING = object()
# Fields of older checkpoints' records -> where they stand now.
_MOVED = {
    "train.objective.min_depth": "model.min_depth",
    "train.objective.max_depth": "model.max_depth",
}


# Options that no longer exist -> the value at which they did nothing.
_GONE = {
    "data.interval_growth": 0,
    "train.objective.automask": False,
    "train.objective.minimum_over_neighbours": False,
}


def changed_fields(before: Mapping, now: Mapping, free: tuple[str, ...] | None = None) -> list[str]:
    """Returns one line for each field that changes the run: `config.FIELD: was X, now Y`.

    Args:
      before: the configuration in a checkpoint's record, as nested dicts.  Fields that it lacks are newer than the
        checkpoint: nothing is said of them.
      now: the configuration to go on with, alike.
      free: fields (or sections, ending in a dot) that may change; None for those of training.
    """
    before, now = flat_fields(before), flat_fields(now)
    before = {_MOVED.get(field, field): value for field, value in before.items()}
    if free is None:
        free = _FREE if now.get("train.schedule") == "cosine" else _FREE + _LENGTH
    lines = []
    for field in sorted(before.keys() | now.keys()):
        old, new = before.get(field, _MISSING), now.get(field, _MISSING)
        if old is _MISSING or old == new or _is_free(field, free) or old == _GONE.get(field, _MISSING):
            continue
        lines.append(f"config.{field}: was {old!r}, now {'no longer a field' if new is _MISSING else repr(new)}")
    return lines


def check_changes(where: str, lines: list[str], allowed: bool, permission: str = "train.allow_changes") -> None:
    """Prints the lines of `changed_fields`, and lets the run go on where changes are allowed.

    Args:
      where: the checkpoint.
      lines: one for each changed field.
      allowed: whether changes are.
      permission: the field that allows them.

    Raises:
      UserError: there are some, and they are not allowed.
    """
    for line in lines:
        print(line, file=sys.stderr)
    if lines and not allowed:
        fields = ", ".join(line.split(":")[0] for line in lines)
        raise UserError(
            f"{where}: was trained with another {fields}; use the same, another --workdir, or "
            f"--config.{permission}=True to go on with the new one"
        )


def check_arrays(where: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Checks that a checkpoint holds what the run trains, which no permission to change can replace.

    Args:
      where: the checkpoint.
      before, now: path -> shape of every array, as `run_checkpoint.shapes_of` gives them.

    Raises:
      UserError: an array is missing, new, or of another shape.
    """
    for path in sorted(before.keys() | now.keys()):
        old, new = before.get(path), now.get(path)
        if old == new:
            continue
        if old is None or new is None:
            what = (
                f"holds {path}, which the run does not" if new is None else f"does not hold {path}, which the run does"
            )
        else:
            what = f"{path} has shape {tuple(old)}, and here {tuple(new)}"
        raise UserError(f"{where}: {what}; give the model that it was trained with, or another --workdir")


def check_length(where: str, done: int, total: int) -> None:
    """Raises `UserError` if more steps are done than the run would have in all."""
    if done > total:
        raise UserError(
            f"{where}: {done} steps are done, and this run would have {total}; give at least as many "
            "(--config.train.steps, --config.train.epochs), or another --workdir"
        )


def flat_fields(tree: Mapping, prefix: str = "") -> dict[str, Any]:
    """Returns {dotted field: value}, sequences as lists, as JSON has them."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flat_fields(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = _as_json(value)
    return flat


def _is_free(field: str, free: tuple[str, ...]) -> bool:
    return any(field == name or (name.endswith(".") and field.startswith(name)) for name in free)


def _as_json(value: Any) -> Any:
    return [_as_json(item) for item in value] if isinstance(value, (list, tuple)) else value
