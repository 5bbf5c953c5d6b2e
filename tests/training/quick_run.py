"""`python -m endodav_jax.main` with objectives that compile in no time, for tests of everything around them.

Networks, update, optimiser, data, checkpoints, logs and command line are the real ones; what is differentiated is a
smooth function of every trained parameter and of the batch, so that any clip, moment or counter that a resumed run
had wrong would show in the parameters.
"""

import sys

import jax
import jax.numpy as jnp
from absl import app

from endodav_jax import main
from endodav_jax.training import step
from endodav_jax.training.depth_objective import DepthAux, Pictures
from endodav_jax.training.flow_objective import FlowAux


def _score(trained: dict, batch: dict):
    light = jnp.mean(batch["frames_augmented"])
    return light * sum(jnp.mean(leaf**2) for leaf in jax.tree.leaves(trained))


def _moved(statistics: dict, loss) -> dict:
    return jax.tree.map(lambda leaf: leaf + 0.1 * (jax.lax.stop_gradient(loss) - leaf), statistics)


def flow_objective(trained, others, statistics, batch, *, graphdef, config, axis_name):
    """In place of the real one."""
    loss = _score(trained, batch)
    return loss, FlowAux({"flow_phase/loss": loss}, statistics)


def depth_objective(trained, others, statistics, batch, *, graphdef, config, axis_name, projection):
    """In place of the real one."""
    loss = _score(trained, batch)
    frames = batch["frames"][:, 1]
    both = jnp.stack([frames, frames])
    pictures = Pictures(frames, both, both, both[..., 0], frames[..., 0], frames[..., 0], both[..., :2])
    motion, intrinsics = jnp.zeros((2, len(frames), 4, 4)), jnp.zeros((len(frames), 4))
    return loss, DepthAux({"loss": loss}, _moved(statistics, loss), motion, intrinsics, pictures)


if __name__ == "__main__":
    step.flow_objective, step.depth_objective = flow_objective, depth_objective
    app.run(main.run, argv=sys.argv, flags_parser=main._parse_flags)
