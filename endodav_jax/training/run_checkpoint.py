"""Checkpoints of a run: the complete state for an exact resume.

`last/` contains the newest steps: trained groups, optimiser states, BatchNorm statistics, counters, and a record
(position in the data, configuration, digest of the base weights, shape and CRC-32 of every array).  The frozen backbone
is not saved: the record names the base weights by digest, and resuming with others is refused.

Orbax writes in the background and renames a step when it is complete, so a killed run finds its last complete step.
If the newest step is damaged, it is named and the previous one is used; the CRCs detect damage that Orbax would read
without an error (a flipped byte in an array).
"""

import contextlib
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from endodav_jax.errors import UserError
from endodav_jax.files import write_failure

_STEP_DIGITS = 8  # readers must use the same number; otherwise Orbax finds no steps


class RunCheckpoints:
    """The folder `checkpoints/` of a run.

    Args:
      folder: created if missing.
      keep_last: how many newest steps `last/` keeps.
    """

    def __init__(self, folder: Path, keep_last: int = 2):
        self.folder = folder.absolute()
        self._last = _manager(self.folder / "last", keep_last)

    def save(self, step: int, state: Any, record: dict) -> None:
        """Starts writing one step; returns as soon as the arrays are copied.

        Args:
          step: number of completed steps.
          state: pure nested dict of arrays, NumPy or on one device.
          record: JSON-compatible values; `checksums` and `shapes` are added.
        """
        with self._writing():
            _save(self._last, step, state, record)

    def restore(
        self, abstract_state: Any, check: Callable[[int, dict], None] = lambda step, record: None
    ) -> tuple[int, Any, dict] | None:
        """Reads the newest complete step: (step, state, record), or None if there is none yet.

        Args:
          abstract_state: a state like the one that was saved.
          check: called with the step and its record before any array is read; raises `UserError` to refuse it.

        Raises:
          UserError: there are steps, and none of them can be read; or what `check` raises.
        """
        steps = sorted(self._last.all_steps(), reverse=True)
        for step in steps:
            try:
                check(step, _read_record(self._last, step))
                restored = _restore(self._last, step, abstract_state)
            except UserError:
                raise
            except Exception as error:  # a damaged file can make Orbax raise anything
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                print(f"{self.step_folder(step)}: damaged ({reason[:200]}); trying the one before", file=sys.stderr)
                continue
            for newer in steps[: steps.index(step)]:  # otherwise it could not be written again
                self._last.delete(newer)
            return restored
        if steps:
            raise UserError(
                f"{self.folder / 'last'}: none of its steps can be read; move the folder away to start over"
            )
        return None

    def step_folder(self, step: int) -> Path:
        """Returns the path of a step in `last/`."""
        return self.folder / "last" / f"{step:0{_STEP_DIGITS}d}"

    def wait(self) -> None:
        """Waits until all pending writes are complete."""
        with self._writing():
            self._last.wait_until_finished()

    def close(self) -> None:
        """Waits for pending writes and closes the folder."""
        with self._writing():
            self._last.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Says in one line that the disk is full: it may be known only after, since Orbax writes in the background."""
        try:
            yield
        except Exception as error:
            reason = write_failure(error)
            if reason is None:
                raise
            raise UserError(f"{self.folder}: cannot be written ({reason}); free space and rerun to go on") from error


@contextlib.contextmanager
def open_run(folder: Path, keep_last: int = 2) -> Iterator[RunCheckpoints]:
    """A `RunCheckpoints` that is always closed."""
    checkpoints = RunCheckpoints(folder, keep_last)
    try:
        yield checkpoints
    finally:
        checkpoints.close()


def checksums(state: Any) -> dict[str, int]:
    """Returns the CRC-32 of every array's bytes, by path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {
        jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(np.asarray(leaf)).tobytes())
        for path, leaf in leaves
    }


def shapes_of(state: Any) -> dict[str, list[int]]:
    """Returns the shape of every array, by path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path): list(np.shape(leaf)) for path, leaf in leaves}


def _save(manager: ocp.CheckpointManager, step: int, state: Any, record: dict) -> None:
    state = jax.tree.map(np.asarray, state)
    manager.save(
        step,
        args=ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            record=ocp.args.JsonSave(record | {"checksums": checksums(state), "shapes": shapes_of(state)}),
        ),
        force=True,
    )


def _read_record(manager: ocp.CheckpointManager, step: int) -> dict:
    return manager.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]


def _restore(manager: ocp.CheckpointManager, step: int, abstract_state: Any) -> tuple[int, Any, dict]:
    items = manager.restore(
        step,
        args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract_state), record=ocp.args.JsonRestore()),
    )
    found, written = checksums(items["state"]), items["record"]["checksums"]
    wrong = [path for path in found if found[path] != written.get(path)]
    if wrong:
        raise ValueError(f"checksum of {wrong[0]} does not match")
    return step, items["state"], items["record"]


def _manager(folder: Path, keep: int) -> ocp.CheckpointManager:
    return ocp.CheckpointManager(
        folder,
        options=ocp.CheckpointManagerOptions(
            create=True,
            step_format_fixed_length=_STEP_DIGITS,
            cleanup_tmp_directories=True,
            preservation_policy=preservation_policy.LatestN(keep),
            enable_async_checkpointing=True,
        ),
    )
