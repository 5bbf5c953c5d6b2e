"""Which groups of parameters a step trains: a function of the step number alone.

The published program trains the spatial adapters for `spatial_steps` steps with the projection loss off, then the
temporal ones for `temporal_steps` steps with it on, and so on; pose, transform and intrinsics train throughout, the
output convolutions whenever the depth network does.  Steps are counted from 1, as it counts them, so the very first
spatial phase is one step shorter than the others.
"""

import dataclasses

_DEPTH = frozenset({"output_convolutions", "depth_heads", "residual_blocks"})
_MOTION = frozenset({"pose", "intrinsics", "transform"})


@dataclasses.dataclass(frozen=True)
class PhaseSchedule:
    """When what trains.  Contradictions raise `ValueError` when it is built.

    Attributes:
      spatial_steps: steps of each spatial phase.
      temporal_steps: steps of each temporal phase; 0 leaves the temporal adapters alone.
      joint: train spatial and temporal adapters together, projection loss always on, instead of in turn.
      warm_up_steps: DV-LoRA trains its factors A, B up to this step and its vectors U, V after it.
      depth_interval: if positive, depth and camera motion train in turn, this many steps each, motion first.
    """

    spatial_steps: int = 400
    temporal_steps: int = 100
    joint: bool = False
    warm_up_steps: int = 20_000
    depth_interval: int = 0

    def __post_init__(self):
        if self.spatial_steps < 0 or self.temporal_steps < 0 or self.spatial_steps + self.temporal_steps < 1:
            raise ValueError("train.phases: spatial_steps and temporal_steps must not be negative nor both zero")
        if self.depth_interval < 0 or self.warm_up_steps < 0:
            raise ValueError("train.phases: depth_interval and warm_up_steps must not be negative")


@dataclasses.dataclass(frozen=True)
class Phase:
    """What one step trains.  Hashable: it is the static argument that selects a compiled step.

    Attributes:
      name: for people: `spatial`, `temporal`, `joint` or `motion`.
      groups: parameter groups that the second update (depth, pose, transform, intrinsics) changes.
      projection: whether the projection loss is on.
    """

    name: str
    groups: frozenset[str]
    projection: bool


def phase_of_step(step: int, schedule: PhaseSchedule, available: frozenset[str]) -> Phase:
    """Returns the phase of one step.

    Args:
      step: number of the step, from 1.
      schedule: the phases' lengths.
      available: groups that the network has and the run trains; a phase trains no other.
    """
    depth_turn = motion_turn = True
    if schedule.depth_interval:
        depth_turn = step % (2 * schedule.depth_interval) >= schedule.depth_interval
        motion_turn = not depth_turn

    has_temporal = "temporal_adapters" in available and schedule.temporal_steps > 0
    spatial, temporal = True, has_temporal and schedule.joint
    if has_temporal and not schedule.joint:
        temporal = step % (schedule.spatial_steps + schedule.temporal_steps) >= schedule.spatial_steps
        spatial = not temporal

    wanted: frozenset[str] = frozenset()
    if depth_turn:
        # DV-LoRA's vectors take over from its factors after the warm-up; other adapters have no vectors.
        stages = [f"{place}_adapters" for place, turn in (("spatial", spatial), ("temporal", temporal)) if turn]
        vectors = {stage: stage.removesuffix("s") + "_vectors" for stage in stages}
        warm = step <= schedule.warm_up_steps
        wanted |= _DEPTH | {s if warm or vectors[s] not in available else vectors[s] for s in stages}
    if motion_turn:
        wanted |= _MOTION

    name = "joint" if spatial and temporal else "temporal" if temporal else "spatial"
    return Phase("motion" if not depth_turn else name, wanted & available, projection=temporal)
