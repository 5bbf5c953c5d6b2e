"""One process of the test of devices: three steps on four clips, and what the optimiser has seen, written to a file."""

import json
import sys

import jax
import numpy as np


def main(out: str, objective: str, devices: int, processes: int, process: int, port: int) -> None:
    """Runs on `devices` virtual CPU devices of this process, with an objective's fields as JSON."""
    jax.config.update("jax_num_cpu_devices", devices)
    from endodav_jax.training import parallel

    parallel.start_processes(f"127.0.0.1:{port}" if processes > 1 else "", processes, process)
    from endodav_jax.checkpoints.shipped import SHIPPED
    from endodav_jax.training.objective_config import ObjectiveConfig
    from endodav_jax.training.phases import PhaseSchedule, phase_of_step
    from tests.training.toy import toy_batch, toy_config, toy_step

    # The least program that has every part: most of the time is compilation.
    chosen = ObjectiveConfig(scales=(0,), remat=False, **json.loads(objective))
    config = toy_config(SHIPPED, resnet_layers=10, remat=False, objective=chosen)
    step, state, frozen = toy_step(config, parallel.AXIS)
    phase = phase_of_step(1, PhaseSchedule(joint=True), frozenset(state["params"]))
    state, frozen = parallel.replicate(state, owned=True), parallel.replicate(frozen)
    step = parallel.DataParallel(step)
    own = slice(process * 4 // processes, (process + 1) * 4 // processes)
    for number in range(3):
        batch = {name: array[own] for name, array in toy_batch(number, 4).items()}
        state, metrics, _ = step(state, frozen, parallel.shard(batch), phase)
    state = parallel.unreplicate(state)
    if process == 0:
        loss = parallel.unreplicate(metrics)["loss"]
        params = {f"params/{p}": leaf for group in state["params"].values() for p, leaf in group.items()}
        moments = {
            f"moments/{path}": leaf
            for group, members in state["opt"].items()
            for path, leaf in members.inner_state.mu[group].items()
        }
        statistics = {f"statistics/{i}": leaf for i, leaf in enumerate(jax.tree.leaves(state["statistics"]))}
        np.savez(out, loss=loss, **params, **moments, **statistics)


if __name__ == "__main__":
    main(*sys.argv[1:3], *(int(word) for word in sys.argv[3:]))
