"""A training, in a process of its own, with objectives that compile in no time: for tests of everything around them.

    python -m tests.training.quick_run --config=FILE --workdir=DIR [--config.FIELD=VALUE ...]

Networks, update, optimiser, data, checkpoints and logs are the real ones; what is differentiated is a smooth function
of every trained parameter and of the batch, so that any clip, moment or counter that a resumed run had wrong would
show in the parameters.
"""

import ast
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from endodav_jax import process
from endodav_jax.config import config_from_dict, load_config_file
from endodav_jax.errors import exit_code
from endodav_jax.training.depth_objective import DepthAux, Pictures
from endodav_jax.training.flow_objective import FlowAux
from endodav_jax.training.run import train
from endodav_jax.training.step import Objectives


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
    return loss, DepthAux({"loss": loss}, _moved(statistics, loss), motion, intrinsics, pictures, health={})


QUICK = Objectives(flow_objective, depth_objective)


def main(arguments: list[str]) -> int:
    """Trains as the arguments say, and returns the exit code that the command would."""
    named = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
    values = load_config_file(named.pop("config"))
    workdir = Path(named.pop("workdir"))
    values.update_from_flattened_dict({name: _value(text) for name, text in named.items()}, "config.")
    return exit_code("endodav_jax", lambda: train(config_from_dict(values.to_dict()), workdir, objectives=QUICK))


def _value(text: str):
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


if __name__ == "__main__":
    process.set_up()
    sys.exit(main(sys.argv[1:]))
