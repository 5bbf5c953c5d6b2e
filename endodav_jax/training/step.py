"""One step of self-supervised training: the flow update, then the update of depth, motion and appearance."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array

from endodav_jax.data.augment import colour_jitter, to_float
from endodav_jax.training.config import TrainConfig
from endodav_jax.training.depth_objective import Pictures, depth_objective
from endodav_jax.training.flow_objective import flow_objective
from endodav_jax.training.partition import Groups, apply_gradients, init_optimiser, join_groups, select
from endodav_jax.training.phases import Phase

FLOW = frozenset({"flow"})
ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)  # PyTorch's defaults; the rate is left to `apply_gradients`

# params, ema: group -> {path: array}; opt: group -> optimiser state; statistics: nested dict of BatchNorm statistics;
# step, skipped: int32 counters.  Everything that a run changes, and nothing else.
State = dict[str, Any]


def new_state(params: Groups, statistics: dict, config: TrainConfig) -> State:
    """Returns the state before the first step."""
    return {
        "params": params,
        "ema": jax.tree.map(jnp.copy, params) if config.ema_decay else {},
        "opt": init_optimiser(dict.fromkeys(params, ADAM), params),
        "statistics": statistics,
        "step": jnp.int32(0),
        "skipped": jnp.int32(0),
    }


def objective_batch(batch: dict[str, Array]) -> dict[str, Array]:
    """Converts a batch from the pipeline to the input of the objectives: floats, plain and colour-jittered."""
    frames = to_float(batch["frames"])
    return {
        "frames": frames,
        "frames_augmented": colour_jitter(frames, batch["jitter"], batch["jitter_order"]),
        "view_mask": batch["view_mask"],
        **({"frame_mask": batch["frame_mask"]} if "frame_mask" in batch else {}),
        "intrinsics": batch["intrinsics"],
    }


@dataclasses.dataclass(frozen=True)
class Objectives:
    """The objectives of the two updates of a step, and how their batch is prepared.

    Attributes:
      flow: objective of the first update; see `flow_objective.flow_objective`.
      depth: objective of the second; see `depth_objective.depth_objective`.
      batch: a batch as described by `data.contract.BATCH` -> the batch that both take; see `objective.Batch`.
    """

    flow: Callable = flow_objective
    depth: Callable = depth_objective
    batch: Callable = objective_batch


PUBLISHED = Objectives()


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """`step(state, frozen, batch, phase) -> (state, metrics, pictures)`, pure.

    Attributes:
      graphdef: of `TrainingNetworks`.
      config: the `train` section.
      learning_rate: step, from 1 -> factor on every group's learning rate.
      axis_name: mapped axis of the devices that share the batch, or None.
      objectives: the objectives of the two updates.
    """

    graphdef: nnx.GraphDef | None
    config: TrainConfig
    learning_rate: Callable[[Array], Array]
    axis_name: str | None = None
    objectives: Objectives = PUBLISHED

    def __call__(
        self, state: State, frozen: Groups, batch: dict[str, Array], phase: Phase
    ) -> tuple[State, dict[str, Array], Pictures]:
        """Makes both updates, that of the flow only if the run trains it.

        If something is not finite, the state is unchanged and `skipped` is incremented.

        Args:
          state: see `State`.
          frozen: the groups that no phase trains.
          batch: as described by `data.contract.BATCH`.
          phase: what the second update trains; static.

        Returns:
          The new state; losses, gradient norms by group and the depth's health (averaged over devices), `finite` and
          `skipped`, the number of steps that were not; pictures of one frame.
        """
        number = state["step"] + 1
        clip = self.objectives.batch(batch)
        factor = self.learning_rate(number)
        rates = {group: factor * rate for group, rate in dataclasses.asdict(self.config.learning_rates).items()}
        params, opt = state["params"], state["opt"]
        optimisers = dict.fromkeys(params, ADAM)

        flow_losses: dict[str, Array] = {}
        norms: dict[str, Array] = {}
        statistics = state["statistics"]
        if params.keys() >= FLOW:
            flow_aux, flow_grads = self._gradients(self.objectives.flow, FLOW, params, frozen, statistics, clip)
            flow_losses, statistics = flow_aux.losses, flow_aux.statistics
            flow_grads, norms = self._clipped(flow_grads)
            params, opt = apply_gradients(optimisers, rates, flow_grads, opt, params)

        depth_aux, depth_grads = self._gradients(
            self.objectives.depth, phase.groups, params, frozen, statistics, clip, projection=phase.projection
        )
        depth_grads, depth_norms = self._clipped(depth_grads)
        params, opt = apply_gradients(optimisers, rates, depth_grads, opt, params)

        metrics = self._mean(flow_losses | depth_aux.losses) | {
            f"gradient_norm/{group}": norm for group, norm in (norms | depth_norms).items()
        }
        finite = jnp.all(jnp.isfinite(jnp.stack(list(metrics.values()))))
        new = {"params": params, "opt": opt, "statistics": depth_aux.statistics, "ema": self._average(state, params)}
        # A branch rather than an elementwise select: nothing extra to compile or compute.
        new = jax.lax.cond(
            finite, lambda now, _: now, lambda _, before: before, new, {name: state[name] for name in new}
        )
        new |= {"step": number, "skipped": state["skipped"] + (1 - finite.astype(jnp.int32))}
        metrics |= {"finite": finite, "skipped": new["skipped"], "learning_rate_factor": factor}
        metrics |= self._mean(depth_aux.health)
        return new, metrics, _one_frame(depth_aux.pictures)

    def _gradients(self, objective, names: frozenset[str], params: Groups, frozen: Groups, statistics, clip, **kwargs):
        """Returns the results of the objective and its gradient by the named groups, averaged over devices."""
        others = join_groups({group: members for group, members in params.items() if group not in names}, frozen)

        def loss(trained: Groups):
            return objective(
                join_groups(trained),
                others,
                statistics,
                clip,
                graphdef=self.graphdef,
                config=self.config.objective,
                axis_name=self.axis_name,
                **kwargs,
            )

        grads, aux = jax.grad(loss, has_aux=True)(select(params, names))
        return aux, self._mean(grads)

    def _mean(self, tree):
        return jax.lax.pmean(tree, self.axis_name) if self.axis_name else tree

    def _clipped(self, grads: Groups) -> tuple[Groups, dict[str, Array]]:
        """Returns the gradients, clipped if configured, and their norms by group before clipping."""
        norms = {group: optax.tree.norm(members) for group, members in grads.items()}
        if self.config.clip_norm and norms:
            total = optax.tree.norm(norms)
            scale = jnp.minimum(1.0, self.config.clip_norm / jnp.maximum(total, 1e-12))
            grads = jax.tree.map(lambda grad: grad * scale, grads)
        return grads, norms

    def _average(self, state: State, params: Groups) -> Groups:
        if not self.config.ema_decay:
            return {}
        return jax.tree.map(lambda old, new: old + (1 - self.config.ema_decay) * (new - old), state["ema"], params)


def learning_rate_factor(config: TrainConfig, total_steps: int, steps_per_epoch: int) -> Callable[[Array], Array]:
    """Returns a function: step, counted from 1 -> factor on every learning rate."""
    if config.schedule == "constant":
        return lambda step: jnp.ones_like(step, jnp.float32)
    if config.schedule == "cosine":
        return lambda step: 0.5 * (1 + jnp.cos(jnp.pi * (step - 1).astype(jnp.float32) / total_steps))
    last = config.drop_epoch * steps_per_epoch
    return lambda step: jnp.where(step <= last, 1.0, config.drop_factor).astype(jnp.float32)


def _one_frame(pictures: Pictures) -> Pictures:
    """Keeps only the frame in the middle of the batch, so that little is copied from the device."""
    middle = pictures.frame.shape[0] // 2
    of_neighbours = {"warped", "refined", "occlusion", "flow"}
    return Pictures(
        **{
            name: maps[:, middle] if name in of_neighbours else maps[middle]
            for name, maps in pictures._asdict().items()
        }
    )
