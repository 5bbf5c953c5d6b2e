"""Decides which parameter groups a step trains, from the step number only.

The published program trains the spatial adapters for `spatial_steps` steps with the projection loss off, then the
temporal ones for `temporal_steps` steps with it on, alternating.  Pose, transform and intrinsics are always trained,
the output convolutions whenever the depth network is.  Steps are counted from 1, as in the published program, so the
very first spatial phase is one step shorter than the others.
"""

import dataclasses

from endodav_jax.fields import check_numbers
from endodav_jax.models.groups import GROUPS, Group, Role


@dataclasses.dataclass(frozen=True)
class PhaseSchedule:
    """The schedule of training phases.  Contradictions raise `ValueError` when it is built.

    Attributes:
      spatial_steps: steps of each spatial phase.
      temporal_steps: steps of each temporal phase; 0 does not train the temporal adapters.
      joint: train spatial and temporal adapters together with the projection loss always on, instead of alternating.
      warm_up_steps: DV-LoRA trains its factors A, B up to this step and its vectors U, V after it.
      motion_steps: number of initial steps that train only the motion networks, with depth fixed, so that depth need
        not compensate for an unknown camera; the other phases start after them.
      depth_interval: if positive, depth and camera motion are trained alternately, this many steps each, motion first.
    """

    spatial_steps: int = 400
    temporal_steps: int = 100
    joint: bool = False
    warm_up_steps: int = 20_000
    motion_steps: int = 0
    depth_interval: int = 0

    def __post_init__(self):
        check_numbers(self, "train.phases")
        if self.spatial_steps + self.temporal_steps < 1:
            raise ValueError("train.phases.spatial_steps: must be at least 1 if train.phases.temporal_steps is 0")


@dataclasses.dataclass(frozen=True)
class Phase:
    """What one step trains.  Hashable: it is the static argument that selects a compiled step.

    Attributes:
      name: human-readable: `spatial`, `temporal`, `joint` or `motion`.
      groups: parameter groups changed by the second update (depth, pose, transform, intrinsics).
      projection: whether the projection loss is on.
    """

    name: str
    groups: frozenset[str]
    projection: bool


def projects(schedule: PhaseSchedule, available: frozenset[str]) -> bool:
    """Whether a run has phases with the projection loss: those of temporal adapters."""
    return schedule.temporal_steps > 0 and any(GROUPS[group].role == "temporal" for group in available)


def phase_of_step(step: int, schedule: PhaseSchedule, available: frozenset[str]) -> Phase:
    """Returns the phase of one step.

    Args:
      step: number of the step, from 1.
      schedule: the lengths of the phases.
      available: groups that the network has and the run trains; a phase trains only these.
    """
    if step <= schedule.motion_steps:
        motion = frozenset(group for group in available if GROUPS[group].role == "motion")
        return Phase("motion", motion, projection=False)
    step -= schedule.motion_steps

    depth_turn = motion_turn = True
    if schedule.depth_interval:
        depth_turn = step % (2 * schedule.depth_interval) >= schedule.depth_interval
        motion_turn = not depth_turn

    has_temporal = projects(schedule, available)
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
    """Whether a group is trained before or after the warm-up; groups without a successor are trained throughout."""
    if group.takes_over:
        return not warm
    return warm or not any(GROUPS[other].takes_over == group.name for other in available)
