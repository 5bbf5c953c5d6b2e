"""Everything that `endodav reconstruct` can be told."""

import dataclasses
from typing import Annotated, Literal

from endodav_jax.depth_video.config import ReadingConfig, no_limit
from endodav_jax.fields import positional, spelled
from endodav_jax.inference.windows import AlignRule


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReconstructConfig(ReadingConfig):
    """What to read, and how to make a scene of it.  Contradictions raise `ValueError` when it is built.

    Attributes:
      input: a video, a folder of images or a pattern (`frames/*.png`).
      windows: how windows of a long video are tied together: EndoDAV's rule, Video-Depth-Anything's, or not at all.
      target_fps: at most so many frames a second; 0 is all of them.
      intrinsics: `fx,fy,cx,cy` in pixels of the source (of one eye) or a file; empty takes what the weights learned.
      motion: start each frame from the weights' pose network, or from the motion before alone.
      scale: where millimetres come from: `stereo` (the other half of the frame), `points FILE`, `poses FILE`, or
        `length X1,Y1,X2,Y2,FRAME=MM`; empty leaves everything up to scale.
      baseline: between the eyes of a rectified stereo recording, in mm; 0 is unknown.
      calibration: of both eyes, OpenCV's YAML with M1, D1, M2, D2, R and T, as SCARED has it; empty is none.
      instruments: a folder of masks, one for each frame, not 0 where an instrument or anything else that is not
        tissue is seen; empty is none.
      voxel: side of the surface's voxels, in mm or the depth's unit; 0 chooses it by the first frame.
      memory: that the surface may take, in GB; larger ones are made with larger voxels.
      free_scale: how far the depth of one frame may be off in scale against the clip's, relative.
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
    free_scale: float = 0.05

    def __post_init__(self):
        super().__post_init__()
        no_limit(self, "target_fps")
        for field in ("voxel", "free_scale"):
            if getattr(self, field) < 0:
                raise ValueError(f"reconstruct.{field}: {getattr(self, field)} is negative; 0 is the least")
        if not 0.05 <= self.memory <= 1000:
            raise ValueError(f"reconstruct.memory: {self.memory} GB must lie in 0.05..1000")
