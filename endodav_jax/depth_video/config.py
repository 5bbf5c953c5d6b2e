"""Options for depth from video: the `infer` section of a configuration, and the options of `stream`.

The docstrings of the fields are the help of `endodav infer` and `endodav stream`; `docs/extending.md` explains how to
add a field.  Contradictions raise `ValueError` when a configuration is built.
"""

import dataclasses
import math
from typing import Annotated, ClassVar, Literal

import tyro

from endodav_jax.choices import OutputKind, Preset, Stereo
from endodav_jax.fields import Listed, check_choices, check_numbers, positional, spelled
from endodav_jax.inference.runtimes import RuntimeConfig
from endodav_jax.inference.windows import AlignRule
from endodav_jax.video.frames import Deinterlace, Reading

ColourMap = Literal["inferno", "magma", "turbo", "gray"]
Format = Literal["npz", "npy", "png16", "exr", "tiff", "ply"]
Video = Literal["src", "vis", "sbs"]
LiveOutput = Literal["vis", "npy"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadingConfig(RuntimeConfig):
    """Options shared by `infer`, `stream` and `reconstruct`: the network, how frames are read, and colours.

    Attributes:
      encoder: require weights of this preset; empty accepts any.
      output_kind: what the network outputs, if neither its card nor its file name says so: `disparity` or
        `metric_depth` (metres); empty uses what they say.
      deinterlace: convert interlaced frames to full pictures: those marked in the file (auto), all (on), or none
        (off).
      track: number of the video track, from 0, if a file has several; -1 selects the default or largest.
      stereo: which half of the frame to use, if it contains two views above or beside each other.
      max_len: maximum number of frames; 0 for all.
      max_res: maximum length of the longer side of the frames, in pixels; 0 keeps their size.
      mask: the part of the frame that shows something: `auto` (finds the view inside a dark border, without burnt-in
        text), `none` (all of it) or a mask image, nonzero inside the view.  Depth outside is 0.
      cmap: colour map for disparity or metric depth: near is bright.
      overwrite: replace existing files.
      quiet: print nothing but errors.
    """

    encoder: Preset | Literal[""] = ""
    output_kind: OutputKind | Literal[""] = ""
    deinterlace: Deinterlace = "auto"
    track: int = -1
    stereo: Stereo = "none"
    max_len: int = 0
    max_res: int = 0
    mask: Annotated[str, spelled(metavar="auto|none|FILE")] = "auto"
    cmap: ColourMap = "inferno"
    overwrite: bool = False
    quiet: bool = False

    _section: ClassVar[str] = "infer"  # its place in a complete configuration, for messages
    _limits: ClassVar[tuple[str, ...]] = ("max_len", "max_res")  # for which -1 means no limit
    _signed: ClassVar[tuple[str, ...]] = ("track",)  # numbers that may be negative

    def __post_init__(self):
        check_choices(self, self._section)
        for field in self._limits:
            self._normalise_limit(field)
        check_numbers(self, self._section, signed=self._signed)
        if self.track < -1:
            raise ValueError(f"{self._section}.track: {self.track} is negative; tracks are numbered from 0")

    def _normalise_limit(self, field: str) -> None:
        """Checks a limit; -1 means no limit, as in Video-Depth-Anything, and is stored as 0."""
        if getattr(self, field) == -1:
            object.__setattr__(self, field, type(getattr(self, field))(0))
        if getattr(self, field) < 0:
            raise ValueError(f"{self._section}.{field}: {getattr(self, field)} is negative; 0 means no limit")

    @property
    def reading(self) -> Reading:
        """Options for reading the source."""
        return Reading(self.deinterlace, None if self.track < 0 else self.track)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferConfig(ReadingConfig):
    """What to read, how to infer, what to write.

    Attributes:
      input: a video, a DICOM file, a folder of images, a pattern (`frames/*.png`) or one image.
      windows: how windows of a long video are aligned: by EndoDAV's rule, Video-Depth-Anything's, or not at all.
      steady: steady the depth along the camera's path, which is tracked in the frames: it flickers less, and its
        shape agrees from frame to frame. Takes a fraction of a second per frame; without
        --intrinsics it corrects each frame's factor alone.
      target_fps: maximum number of frames per second; 0 for all.
      intrinsics: `fx,fy,cx,cy` in pixels of the source (of one view) or a file, which may include distortion (OpenCV,
        COLMAP, Matlab omnidirectional); empty for unknown.
      scale: source of metric scale: `stereo` (the other half of the frame), `points FILE`, `poses FILE`, or
        `length X1,Y1,X2,Y2,FRAME=MM`; empty leaves depth up to scale.
      baseline: distance between the cameras of a rectified stereo recording, in mm; negative if the left view is from
        the right camera; 0 for unknown.
      calibration: stereo calibration, OpenCV YAML with M1, D1, M2, D2, R and T, as in SCARED; empty for none.
      masks: a folder or video of masks, one per frame; pixels with 0 (instruments, smoke, captions) are excluded when
        windows are aligned; `auto` uses masks beside the input, `none` uses no masks.
      mask_outputs: set depth to 0 where these masks are 0.
      save: lossless formats to write: npz, npy, png16, exr, tiff, ply, or none.
      videos: videos to write: src (the source as the network saw it), vis (depth as colours), sbs (both side by
        side), or none.
      range: range of the colours, in disparity or metric depth: `clip` (minimum to maximum of the clip),
        `percentile` (1% to 99%), or `low,high`.
      png_scale: factor by which depth is multiplied in 16-bit PNG; 0 for the largest power of two that fits the clip.
      verbose: print each window's scale and shift.
    """

    input: Annotated[str, tyro.conf.Suppress] = ""  # the command takes any number of inputs
    windows: Annotated[AlignRule, spelled("--align")] = "endodav"
    steady: bool = False
    target_fps: float = 0.0
    intrinsics: Annotated[str, spelled(metavar="FX,FY,CX,CY|FILE")] = ""
    scale: Annotated[tuple[str, ...], spelled(metavar="stereo | points FILE | poses FILE | length ...")] = ()
    baseline: float = 0.0
    calibration: Annotated[str, spelled(metavar="FILE")] = ""
    masks: Annotated[str, spelled(metavar="auto|none|PATH")] = "auto"
    mask_outputs: bool = False
    save: Annotated[tuple[Format, ...], Listed] = ("npz",)
    videos: Annotated[tuple[Video, ...], Listed] = ("src", "vis", "sbs")
    range: Annotated[str, spelled(metavar="clip|percentile|LOW,HIGH")] = "clip"
    png_scale: float = 0.0
    verbose: bool = False

    _limits = (*ReadingConfig._limits, "target_fps")
    _signed = (*ReadingConfig._signed, "baseline")

    def __post_init__(self):
        super().__post_init__()
        if self.range not in ("clip", "percentile"):
            fixed_range(self.range)
        if self.png_scale and "png16" not in self.save:
            raise ValueError("infer.png_scale: is of 16-bit PNG; add png16 to infer.save")
        if self.mask_outputs and self.masks == "none":
            raise ValueError("infer.mask_outputs: uses the masks of frames, and infer.masks is none; drop one of them")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamConfig(ReadingConfig):
    """Options for a live source.

    Attributes:
      source: a file, a camera number (0), a URL (rtsp://...), or - for a pipe.
      save: outputs to write if a folder is given: vis (a video of depth as colours), npy (depth frame by
        frame), or none.
      range: disparity range of the colours, `low,high`; empty for the widest range seen so far.
      mask: as for recordings, but `none` unless given: a live source cannot be looked at in advance.
    """

    source: Annotated[str, *positional("SOURCE")]
    save: Annotated[tuple[LiveOutput, ...], Listed] = ("vis",)
    range: Annotated[str, spelled(metavar="LOW,HIGH")] = ""
    mask: Annotated[str, spelled(metavar="auto|none|FILE")] = "none"

    _section = "stream"

    def __post_init__(self):
        super().__post_init__()
        if not self.source:
            raise ValueError("stream.source: is empty; name a file, a camera number, a URL, or - for a pipe")
        if self.range:
            fixed_range(self.range, "stream.range", "two numbers low,high")


def fixed_range(
    text: str, field: str = "infer.range", expected: str = "clip, percentile or two numbers low,high"
) -> tuple[float, float]:
    """Returns (low, high) for `low,high`; raises `ValueError`, which names the field, for anything else."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{field}: {text!r} is not {expected}") from None
    if not (low < high and math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{field}: {text!r} must be two finite numbers, the lower one first")
    return low, high
