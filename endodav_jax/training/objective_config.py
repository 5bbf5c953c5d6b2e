"""Everything that the losses weigh."""

import dataclasses
from typing import Literal

from endodav_jax.geometry.resize import SCALES


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    """Weights and choices of the self-supervised objective.  Contradictions raise `ValueError` when it is built.

    The defaults are those of the published training of EndoDAV; the weights of smoothness are halved from scale to
    scale, and every term is averaged over both neighbours and all scales.

    Attributes:
      scales: of the pyramid, 0 being full size; ascending from 0.
      ssim_weight: share of SSIM in the photometric error; the rest is the absolute difference.
      transform_weight: of |refined target - registered neighbour|, which ties the transform to the registration.
      brightness_smoothness: of the transform's smoothness.
      disparity_smoothness: of the disparity's edge-aware smoothness.
      flow_smoothness: the same of the optical flow, in its own update.
      projection_weight: of the projection loss, in phases that have it (1e-2; 1e-4 is also used).
      projection_relative: divide the projection loss by the sum of both depths, and by the relief of depth, so that
        neither shrinking nor flattening lowers it.  As published it is a length: its weight belongs to one scale of
        depth, and shrinking all depth lowers it.
      flow_depth_weight: of its variant along the optical flow (1e-3 where it is used); 0 leaves it out.
      minimum_over_neighbours: count the better neighbour of each pixel in the photometric error, and not both.
      automask: leave pixels out of it that the unmoved neighbour explains as well as the warped one.
      camera: `pose` is the published network's answer; `flow` solves the motion from optical flow and the depth of the
        moment (`training.flow_camera`), `path` solves it for whole videos before training (`training.path_camera`);
        both need the data's own intrinsics.
      learn_intrinsics: predict the camera's intrinsics instead of taking the batch's.
      highlight_threshold: pixels whose three channels all reach it are specular highlights and count in no term;
        None counts them.
      remat: recompute the motion networks' large maps in their backward passes; with `train.remat` about a tenth
        more time for less than half of the temporary memory.
    """

    scales: tuple[int, ...] = (0, 1, 2, 3)
    ssim_weight: float = 0.85
    transform_weight: float = 0.01
    brightness_smoothness: float = 0.01
    disparity_smoothness: float = 1e-3
    flow_smoothness: float = 1e-3
    projection_weight: float = 1e-2
    projection_relative: bool = False
    flow_depth_weight: float = 0.0
    minimum_over_neighbours: bool = False
    automask: bool = False
    camera: Literal["pose", "flow", "path"] = "pose"
    learn_intrinsics: bool = True
    highlight_threshold: float | None = None
    remat: bool = True

    def __post_init__(self):
        if not self.scales or self.scales[0] != 0 or tuple(sorted(set(self.scales))) != self.scales:
            raise ValueError(f"train.objective.scales: {self.scales} must ascend from 0")
        if self.scales[-1] >= SCALES:
            raise ValueError(f"train.objective.scales: {self.scales[-1]} is beyond the coarsest, {SCALES - 1}")
        if self.camera != "pose" and self.learn_intrinsics:
            raise ValueError(f"train.objective.camera: {self.camera} needs intrinsics; set learn_intrinsics=False")
        if not 0 <= self.ssim_weight <= 1:
            raise ValueError(f"train.objective.ssim_weight: {self.ssim_weight} is a share; use 0 to 1")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.endswith(("_weight", "_smoothness")) and value < 0:
                raise ValueError(f"train.objective.{field.name}: {value} must not be negative")
        if self.highlight_threshold is not None and not 0 < self.highlight_threshold <= 1:
            raise ValueError(
                f"train.objective.highlight_threshold: {self.highlight_threshold} must lie in 0 to 1, or be None"
            )
