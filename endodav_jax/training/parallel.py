"""Training on several devices; the only module that deals with devices.

`jax.pmap` splits the clips of a batch over the local devices; the step itself averages its gradients and
BatchNorm statistics over the axis `AXIS`, also across hosts.  The same step wrapped in
`jax.jit(jax.shard_map(..., check_vma=False))` would compute the same, so only this module would have to change.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from endodav_jax.errors import UserError
from endodav_jax.process import release_free_memory
from endodav_jax.training.phases import Phase

AXIS = "data"
_LONGEST_WAIT = 24 * 3600  # seconds; process 0 validates and renders while the others wait
_meetings = itertools.count()  # a barrier's name can be used once


def start_processes(coordinator: str, processes: int, process: int) -> None:
    """Connects the processes of a run on several hosts; does nothing for a single process.

    Args:
      coordinator: `host:port` of process 0; `auto` takes everything from the cluster's environment (SLURM, GKE, TPU).
      processes: number of processes.
      process: index of this process.

    Raises:
      UserError: the other processes did not connect.
    """
    if not coordinator:
        return
    try:
        if coordinator == "auto":
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(coordinator, num_processes=processes, process_id=process)
    except (RuntimeError, ValueError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"train.coordinator: {coordinator}: {line}; start every process with the same one") from error


def meet() -> None:
    """Waits until every process is here.  No device takes part, whose programs wait for each other for minutes only."""
    if jax.process_count() > 1:
        name = f"endodav_jax.{next(_meetings)}"
        ocp.multihost.sync_global_processes(name, timeout=_LONGEST_WAIT, processes=set(range(jax.process_count())))


@contextlib.contextmanager
def first_process_first() -> Iterator[None]:
    """Lets process 0 pass through the block before the others, which then find the files that it wrote."""
    first = jax.process_index() == 0
    if not first:
        meet()
    yield
    if first:
        meet()


def check_batch_size(batch_size: int) -> None:
    """Raises `UserError` if the global batch cannot be split evenly over all devices."""
    devices = jax.device_count()
    if batch_size % devices:
        raise UserError(
            f"config.data.batch_size: {batch_size} clips cannot be split over {devices} devices; use a multiple"
        )


def any_process(flag: bool) -> bool:
    """Returns whether the value is true on any process; all must call this at the same step.

    A signal reaches hosts at different steps, and a host that stopped on its own would leave the others waiting.
    """
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def replicate(tree: Any, *, owned: bool = False) -> Any:
    """Copies every leaf to each local device: [...] becomes [devices, ...], one slice on each.

    Goes through NumPy, since `device_put` of a device's own array may alias it, and a donated alias is lost.

    Args:
      tree: arrays on the host or a device.
      owned: a CPU may alias NumPy's memory, which a step cannot overwrite and so stores twice; with `owned`, the copies
        belong to the devices.  Use it for arrays that are donated.
    """
    devices = jax.local_devices()
    sharding = NamedSharding(Mesh(np.asarray(devices), (AXIS,)), PartitionSpec(AXIS))
    placed = jax.tree.map(
        lambda leaf: jax.device_put(np.broadcast_to(leaf, (len(devices), *np.shape(leaf))), sharding),
        jax.tree.map(np.asarray, tree),
    )
    return jax.device_put(placed, sharding, may_alias=False) if owned else placed


def unreplicate(tree: Any) -> Any:
    """Returns the first local device's slice of every leaf, as NumPy."""
    return jax.tree.map(lambda leaf: np.asarray(leaf.addressable_shards[0].data)[0], tree)


def shard(batch: Any) -> Any:
    """Splits the batch of a process: [B, ...] becomes [devices, B / devices, ...]."""
    devices = jax.local_device_count()
    return jax.tree.map(lambda leaf: leaf.reshape(devices, leaf.shape[0] // devices, *leaf.shape[1:]), batch)


class DataParallel:
    """`step(state, frozen, batch, phase)` over all devices; `state` is donated, `phase` selects the program.

    Attributes:
      mapped: the step under `jax.pmap`, not yet compiled for a phase.
    """

    def __init__(self, step: Callable):
        self.mapped = jax.pmap(step, axis_name=AXIS, static_broadcasted_argnums=3, donate_argnums=0)
        self._programs: dict[Phase, Callable] = {}

    def compiled(self, state: Any, frozen: Any, batch: Any, phase: Phase) -> Callable:
        """Returns the program of a phase, compiled on first use: `program(state, frozen, batch)`."""
        if phase not in self._programs:
            self._programs[phase] = self.mapped.lower(state, frozen, batch, phase).compile()
            release_free_memory()
        return self._programs[phase]

    def __call__(self, state: Any, frozen: Any, batch: Any, phase: Phase) -> tuple:
        """Runs a step; see `TrainStep`."""
        if jax.process_count() > 1:  # a `pmap` program compiled ahead of time expects the arrays of all processes
            return self.mapped(state, frozen, batch, phase)
        return self.compiled(state, frozen, batch, phase)(state, frozen, batch)
