"""Loss weights and options of the objective."""

import dataclasses
from typing import Literal

from endodav_jax import ssim
from endodav_jax.fields import check_choices, check_numbers
from endodav_jax.geometry.resize import SCALES

HIGHLIGHTS = 0.98  # threshold for recordings of one's own; rendered and published training excludes none


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    """Weights and options of the self-supervised objective.  Contradictions raise `ValueError` when it is built.

    The defaults are those of the published EndoDAV training; smoothness weights are halved from scale to
    scale, and every term is averaged over both neighbours and all scales.

    Attributes:
      scales: scales of the pyramid, 0 being full size; ascending from 0.
      photometric_weight: weight of the photometric error itself.
      ssim_weight: weight of SSIM in the photometric error, 0 to 1; the rest is the absolute difference.
      transform_weight: weight of |refined target - registered neighbour|, which ties the transform to the registration.
      brightness_smoothness: weight of the transform's smoothness.
      disparity_smoothness: weight of the disparity's edge-aware smoothness.
      flow_smoothness: weight of the optical flow's edge-aware smoothness, in its own update.
      projection_weight: weight of the projection loss, in phases that use it (1e-2; 1e-4 is also used).
      projection_relative: divide the projection loss by the sum of both depths, and by the relief of depth, so that
        neither shrinking nor flattening lowers it.  As published it is a length: its weight is tied to one scale of
        depth, and shrinking all depth lowers it.
      flow_depth_weight: weight of its variant along the optical flow (typically 1e-3); 0 disables it.
      points_weight: weight of the error of log depth at points followed along the camera's path, whose depth their
        motion tells (`losses.points`; needs `camera="path"`); 0 disables it.  Not part of the published objective.
      camera: `pose` uses the published network; `flow` solves the motion from optical flow and the current depth
        (`training.flow_camera`), `path` solves it for whole videos before training (`training.path_camera`); both need
        the intrinsics of the data.
      learn_intrinsics: predict the camera intrinsics instead of using those in the batch.
      learn_registration: train the flow and brightness networks, as published; otherwise they keep the weights they
        start from, run in evaluation mode, and the flow's update is left out, which halves the time of a step.
      highlight_threshold: pixels whose three channels all reach this value are specular highlights and excluded from
        every term; None includes them.
      remat: recompute the large maps of the motion networks in their backward passes; with `train.remat`, takes about a
        tenth more time and less than half of the temporary memory.
    """

    scales: tuple[int, ...] = (0, 1, 2, 3)
    photometric_weight: float = 1.0
    ssim_weight: float = ssim.PUBLISHED_WEIGHT
    transform_weight: float = 0.01
    brightness_smoothness: float = 0.01
    disparity_smoothness: float = 1e-3
    flow_smoothness: float = 1e-3
    projection_weight: float = 1e-2
    projection_relative: bool = False
    flow_depth_weight: float = 0.0
    points_weight: float = 0.0
    camera: Literal["pose", "flow", "path"] = "pose"
    learn_intrinsics: bool = True
    learn_registration: bool = True
    highlight_threshold: float | None = None
    remat: bool = True

    def __post_init__(self):
        check_choices(self, "train.objective")
        check_numbers(self, "train.objective")
        if not self.scales or self.scales[0] != 0 or tuple(sorted(set(self.scales))) != self.scales:
            raise ValueError(f"train.objective.scales: {self.scales} must ascend from 0")
        if self.scales[-1] >= SCALES:
            raise ValueError(f"train.objective.scales: {self.scales[-1]} exceeds the coarsest scale, {SCALES - 1}")
        if self.camera != "pose" and self.learn_intrinsics:
            raise ValueError(f"train.objective.camera: {self.camera} needs intrinsics; set learn_intrinsics=False")
        if self.points_weight and self.camera != "path":
            raise ValueError("train.objective.points_weight: points come with a solved path; set camera='path', or 0")
        if self.ssim_weight > 1:
            raise ValueError(f"train.objective.ssim_weight: {self.ssim_weight} is a fraction; use 0 to 1")
        if self.highlight_threshold is not None and not 0 < self.highlight_threshold <= 1:
            raise ValueError(
                f"train.objective.highlight_threshold: {self.highlight_threshold} must be in 0 to 1, or None"
            )
