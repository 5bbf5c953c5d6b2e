"""Breaks down a training step: seconds and operations of each network, and what is left for the losses.

Every part is a separate program on one device, with the inputs that it has in a step; its derivative, if it has one, is
with respect to what the phase trains.  A step compiles them into one program, so its time is not exactly their sum.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks import _machine
from flax import nnx

from endodav_jax.config import Config
from endodav_jax.training.depth_objective import learned_camera, shared_flows
from endodav_jax.training.flow_objective import flow_passes
from endodav_jax.training.initial import initial_networks
from endodav_jax.training.objective import clip_of, predict_transforms, train_passes
from endodav_jax.training.partition import apply_gradients, join_groups, select
from endodav_jax.training.phases import Phase
from endodav_jax.training.step import ADAM, FLOW, TrainStep, new_state

FLOW_UPDATE, DEPTH_UPDATE = "first update, whole", "second update, whole"
OPTIMISER = "optimiser"
QUANTITIES = ("seconds", "processor_seconds", "gflop")  # of a part; another program affects the first of them alone


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of a step.

    Attributes:
      name: for people.
      of: the update that it is a part of, by the name of that one's own part; "" for a part by itself.
      run: a pure function of `arguments`.
      arguments: arrays.
    """

    name: str
    of: str
    run: Callable
    arguments: tuple


def parts_of(config: Config, batch: dict[str, np.ndarray], phases: Iterable[Phase]) -> list[Part]:
    """The parts of a step with the second update of each phase."""
    start = initial_networks(config, None)
    step = TrainStep(start.graphdef, config.train, lambda number: jnp.ones_like(number, jnp.float32))
    state, frozen, objective = (
        new_state(start.trained, start.statistics, config.train),
        start.frozen,
        config.train.objective,
    )
    clip = step.objectives.batch(batch)
    params = state["params"]

    def networks(trained, others):
        return nnx.merge(start.graphdef, join_groups(trained), others, state["statistics"], copy=True)

    def forward(name: str, of: str, run: Callable) -> Part:
        return Part(name, of, lambda others, clip: run(networks({}, others), clip), (join_groups(params, frozen), clip))

    def derived(name: str, of: str, groups: frozenset[str], run: Callable) -> Part:
        """`run` and its derivative by groups: of the sum of squares, since that of a sum would be a constant."""
        others = join_groups({group: members for group, members in params.items() if group not in groups}, frozen)

        def squares(trained, others, clip):
            outputs = jax.tree.leaves(run(networks(trained, others), clip))
            return sum(jnp.sum(jnp.square(leaf)) for leaf in outputs if jnp.issubdtype(leaf.dtype, jnp.floating))

        return Part(name, of, jax.value_and_grad(squares), (select(params, groups), others, clip))

    def whole(name: str, of_step: Callable, groups: frozenset[str], **options) -> Part:
        def run(params, clip):
            return step._gradients(of_step, groups, params, frozen, state["statistics"], clip, **options)

        return Part(name, "", run, (params, clip))

    def neighbours(clip):
        looked = clip_of(clip, objective)
        return looked, jnp.broadcast_to(looked.frames, looked.neighbours.shape)

    def transforms(networks, clip):
        looked, frames = neighbours(clip)
        return train_passes(networks.transform, looked.neighbours, frames, objective.remat)

    def camera(networks, clip):
        looked = clip_of(clip, objective)
        return learned_camera(networks, looked, clip, jnp.zeros(looked.frames.shape[:-1]), objective)

    def depth(networks, clip):
        return networks.depth(clip["frames_augmented"][:, 1:-1], clip["view_mask"])

    parts = [
        whole(FLOW_UPDATE, step.objectives.flow, FLOW),
        derived("flow network, training", FLOW_UPDATE, FLOW,
                lambda networks, clip: flow_passes(networks.flow, clip_of(clip, objective), objective)),
        forward("brightness network, forward", FLOW_UPDATE,
                lambda networks, clip: predict_transforms(networks.transform, clip_of(clip, objective).neighbours,
                                                          clip_of(clip, objective), objective)),
        forward("depth network, forward", "", depth),
    ]  # fmt: skip
    for phase in phases:
        of = f"{DEPTH_UPDATE}, {phase.name}"
        parts += [
            whole(of, step.objectives.depth, phase.groups, projection=phase.projection),
            forward("flow network, forward", of,
                    lambda networks, clip: shared_flows(networks.flow, clip["frames_augmented"])),
            derived("brightness network, training", of, phase.groups & {"transform"}, transforms),
            derived("camera, training", of, phase.groups & {"pose", "intrinsics"}, camera),
            derived("depth network, training", of, phase.groups - {"transform", "pose", "intrinsics"}, depth),
        ]  # fmt: skip
    rates = {group: jnp.float32(rate) for group, rate in dataclasses.asdict(config.train.learning_rates).items()}
    optimisers = dict.fromkeys(params, ADAM)

    def optimise(params, opt):
        return apply_gradients(optimisers, rates, params, opt, params)

    return [*parts, Part(OPTIMISER, "", optimise, (params, state["opt"]))]


def operations(parts: list[Part]) -> dict[tuple[str, str], float]:
    """Floating-point operations of each part, by update and name."""
    return {
        (part.of, part.name): _machine.matrix_flops(jax.make_jaxpr(part.run)(*part.arguments).jaxpr) for part in parts
    }


def measure(parts: list[Part], repeats: int) -> list[dict]:
    """Figures of each part, and of what an update takes besides its networks: losses, warps and resizing."""
    counted, figures = operations(parts), []
    for part in parts:
        program = jax.jit(part.run).lower(*part.arguments).compile()
        jax.block_until_ready(program(*part.arguments))
        turns = []
        for _ in range(repeats):
            started = time.perf_counter(), time.process_time()
            jax.block_until_ready(program(*part.arguments))
            turns.append((time.perf_counter() - started[0], time.process_time() - started[1]))
        seconds, processor_seconds = np.median(turns, axis=0).tolist()
        figures.append({"name": part.name, "of": part.of, "seconds": seconds, "processor_seconds": processor_seconds,
                        "gflop": counted[part.of, part.name] / 1e9})  # fmt: skip
    for update in [found for found in figures if any(part.of == found["name"] for part in parts)]:
        inner = [found for found in figures if found["of"] == update["name"]]
        rest = {key: update[key] - sum(found[key] for found in inner) for key in QUANTITIES}
        figures.append({"name": "losses, warps and the rest", "of": update["name"], **rest})
    return figures


def report(figures: list[dict]) -> list[str]:
    """The figures as text: each update, and below it its parts."""
    lines = [f"{'':<36}   seconds   processor s      GFLOP   GFLOP/s"]
    for found in (figure for figure in figures if not figure["of"]):
        for row in (found, *(inner for inner in figures if inner["of"] == found["name"])):
            name = ("    " if row["of"] else "  ") + row["name"]
            rate = row["gflop"] / row["processor_seconds"] if row["processor_seconds"] > 0 else 0
            lines.append(
                f"{name:<36}{row['seconds']:10.3f}{row['processor_seconds']:14.3f}{row['gflop']:11.1f}{rate:10.1f}"
            )
    return lines
