"""Which groups of parameters a step trains: a function of the step number alone.

The published program trains the spatial adapters for `spatial_steps` steps with the projection loss off, then the
temporal ones for `temporal_steps` steps with it on, and so on; pose, transform and intrinsics train throughout, the
output convolutions whenever the depth network does.  Steps are counted from 1, as it counts them, so the very first
spatial phase is one step shorter than the others.
"""

import dataclasses

from endodav_jax.models.groups import GROUPS, Group, Role


@dataclasses.dataclass(frozen=True)
class PhaseSchedule:
    """When what trains.  Contradictions raise `ValueError` when it is built.

    Attributes:
      spatial_steps: steps of each spatial phase.
      temporal_steps: steps of each temporal phase; 0 leaves the temporal adapters alone.
      joint: train spatial and temporal adapters together, projection loss always on, instead of in turn.
      warm_up_steps: DV-LoRA trains its factors A, B up to this step and its vectors U, V after it.
      motion_steps: so many steps at the start train the motion networks alone, depth at rest, so that it has not to
        make up for a camera that is not known yet; the other phases are counted from there.
      depth_interval: if positive, depth and camera motion train in turn, this many steps each, motion first.
    """

    spatial_steps: int = 400
    temporal_steps: int = 100
    joint: bool = False
    warm_up_steps: int = 20_000
    motion_steps: int = 0
    depth_interval: int = 0

    def __post_init__(self):
        if self.spatial_steps < 0 or self.temporal_steps < 0 or self.spatial_steps + self.temporal_steps < 1:
            raise ValueError("train.phases: spatial_steps and temporal_steps must not be negative nor both zero")
        if min(self.depth_interval, self.warm_up_steps, self.motion_steps) < 0:
            raise ValueError("train.phases: depth_interval, warm_up_steps and motion_steps must not be negative")


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
    if step <= schedule.motion_steps:
        motion = frozenset(group for group in available if GROUPS[group].role == "motion")
        return Phase("motion", motion, projection=False)
    step -= schedule.motion_steps

    depth_turn = motion_turn = True
    if schedule.depth_interval:
        depth_turn = step % (2 * schedule.depth_interval) >= schedule.depth_interval
        motion_turn = not depth_turn

    has_temporal = schedule.temporal_steps > 0 and any(GROUPS[group].role == "temporal" for group in available)
    spatial, temporal = True, has_temporal and schedule.joint
    if has_temporal and not schedule.joint:
        temporal = step % (schedule.spatial_steps + schedule.temporal_steps) >= schedule.spatial_steps
        spatial = not temporal

    turns: dict[Role, bool] = {
        "depth": depth_turn,
        "spatial": depth_turn and spatial,
        "temporal": depth_turn and temporal,
        "motion": motion_turn,
    }
    warm = step <= schedule.warm_up_steps
    in_turn = [GROUPS[group] for group in available if turns.get(GROUPS[group].role)]
    groups = frozenset(group.name for group in in_turn if _has_its_time(group, warm, available))

    name = "joint" if spatial and temporal else "temporal" if temporal else "spatial"
    return Phase("motion" if not depth_turn else name, groups, projection=temporal)


def _has_its_time(group: Group, warm: bool, available: frozenset[str]) -> bool:
    """Whether a group trains before or after the warm-up; one that no other takes over from trains throughout."""
    if group.takes_over:
        return not warm
    return warm or not any(GROUPS[other].takes_over == group.name for other in available)
