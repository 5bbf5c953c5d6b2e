"""Options of `endodav reconstruct`.  Contradictions raise `ValueError` when they are built."""

import dataclasses
from typing import Annotated, Literal

from endodav_jax.depth_video.config import InferConfig, ReadingConfig
from endodav_jax.fields import positional, spelled
from endodav_jax.inference.windows import AlignRule

FREE_SCALE = 0.05  # how far the depth scale of a network's single frame may be off its clip's, relative


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReconstructConfig(ReadingConfig):
    """What to read and how to reconstruct it.

    Attributes:
      input: a video, a folder of images or a pattern (`frames/*.png`).
      windows: how windows of a long video are aligned: by EndoDAV's rule, Video-Depth-Anything's, or not at all.
      target_fps: maximum number of frames per second; 0 for all.
      intrinsics: `fx,fy,cx,cy` in pixels of the source (of one view) or a file; empty uses those in the weights.
      motion: initialise each frame with the pose network of the weights, or only with the previous motion.
      scale: source of metric scale: `stereo` (the other half of the frame), `points FILE`, `poses FILE`, or
        `length X1,Y1,X2,Y2,FRAME=MM`; empty leaves everything up to scale.
      baseline: distance between the cameras of a rectified stereo recording, in mm; negative if the left view is from
        the right camera; 0 for unknown.
      calibration: stereo calibration, OpenCV YAML with M1, D1, M2, D2, R and T, as in SCARED; empty for none.
      instruments: a folder of masks, one per frame of the recording, matched by name or number, nonzero where an
        instrument or anything else that is not tissue is visible (`infer --masks` are 0 there); empty for none.
      voxel: side of the surface's voxels, in mm or the depth's unit; 0 chooses it from the first frame.
      memory: memory limit for the surface, in GB; larger surfaces use larger voxels.
      steady: correct depth along the path, as `infer --steady` does, before anything is made of it; with learned
        intrinsics, the factors of frames alone.
      free_scale: how far the depth scale of a single frame may deviate from the clip's, relative.
    """

    input: Annotated[str, *positional("INPUT")] = ""
    windows: Annotated[AlignRule, spelled("--align")] = "endodav"
    target_fps: float = 0.0
    intrinsics: Annotated[str, spelled(metavar="FX,FY,CX,CY|FILE")] = ""
    motion: Literal["network", "none"] = "network"
    scale: Annotated[tuple[str, ...], spelled(metavar="stereo | points FILE | poses FILE | length ...")] = ()
    baseline: float = 0.0
    calibration: Annotated[str, spelled(metavar="FILE")] = ""
    instruments: Annotated[str, spelled(metavar="FOLDER")] = ""
    voxel: float = 0.0
    memory: float = 1.0
    steady: bool = False
    free_scale: float = FREE_SCALE

    _section = "reconstruct"
    _limits = InferConfig._limits
    _signed = InferConfig._signed

    def __post_init__(self):
        super().__post_init__()
        if not 0.05 <= self.memory <= 1000:
            raise ValueError(f"reconstruct.memory: {self.memory} GB must lie in 0.05..1000")
