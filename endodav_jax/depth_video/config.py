"""Everything that depth of a video can be told: the `infer` section of a configuration, and what `stream` takes.

The docstrings of the fields are the help of `endodav infer` and `endodav stream`; `docs/extending.md` says how to add a
field.  Contradictions raise `ValueError` when a configuration is built.
"""

import dataclasses
from typing import Annotated, Literal

import tyro

from endodav_jax.choices import OutputKind, Preset
from endodav_jax.fields import Listed, check_choices, positional, spelled
from endodav_jax.inference.runtimes import RuntimeConfig
from endodav_jax.inference.windows import AlignRule
from endodav_jax.video.frames import Deinterlace, Reading

Stereo = Literal["none", "top", "bottom", "left", "right"]
ColourMap = Literal["inferno", "magma", "turbo", "gray"]
Format = Literal["npz", "npy", "png16", "exr", "tiff", "ply"]
Video = Literal["src", "vis", "sbs"]
LiveOutput = Literal["vis", "npy"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadingConfig(RuntimeConfig):
    """What `infer` and `stream` share: the network, how frames are read, and colours.

    Attributes:
      encoder: refuse weights of another preset; empty takes what the weights are.
      output_kind: what the network's output is, where neither its card nor its file's name says it: `disparity` or
        `metric_depth` (metres); empty takes what they say.
      deinterlace: frames of two fields become whole pictures: those that the file marks as such (auto), all (on), none
        (off).
      track: number of the video track, from 0, where a file holds several; -1 takes the default or largest.
      stereo: which half of the frame, where two views stand above or beside each other.
      max_len: how many frames at most; 0 is all.
      max_res: longer side of the frames at most, in pixels; 0 is as they are.
      mask: `none`, `auto` (finds the view inside a dark border) or a mask image, not 0 inside the view.
      cmap: colours of disparity, or of metric depth: near is bright.
      overwrite: replace what is there.
      quiet: print nothing but errors.
    """

    encoder: Preset | Literal[""] = ""
    output_kind: OutputKind | Literal[""] = ""
    deinterlace: Deinterlace = "auto"
    track: int = -1
    stereo: Stereo = "none"
    max_len: int = 0
    max_res: int = 0
    mask: Annotated[str, spelled(metavar="auto|none|FILE")] = "none"
    cmap: ColourMap = "inferno"
    overwrite: bool = False
    quiet: bool = False

    def __post_init__(self):
        check_choices(self, "infer")
        for field in ("max_len", "max_res"):
            no_limit(self, field)
        if self.track < -1:
            raise ValueError(f"infer.track: {self.track} is negative; tracks are numbered from 0")

    @property
    def reading(self) -> Reading:
        """How a source is read."""
        return Reading(self.deinterlace, None if self.track < 0 else self.track)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferConfig(ReadingConfig):
    """What to read, how to infer, what to write.

    Attributes:
      input: a video, a DICOM file, a folder of images, a pattern (`frames/*.png`) or one image.
      windows: how windows of a long video are tied together: EndoDAV's rule, Video-Depth-Anything's, or not at all.
      target_fps: at most so many frames a second; 0 is all of them.
      intrinsics: `fx,fy,cx,cy` in pixels of the source (of one eye) or a file, also with distortion (OpenCV, COLMAP,
        Matlab's omnidirectional); empty is unknown.
      scale: where millimetres come from: `stereo` (the other half of the frame), `points FILE`, `poses FILE`, or
        `length X1,Y1,X2,Y2,FRAME=MM`; empty leaves depth up to scale.
      baseline: between the eyes of a rectified stereo recording, in mm; 0 is unknown.
      calibration: of both eyes, OpenCV's YAML with M1, D1, M2, D2, R and T, as SCARED has it; empty is none.
      masks: a folder or a video of masks, one a frame, 0 where it is left out of the fits of windows (instruments,
        smoke, captions); `auto` takes those beside the input, `none` takes none.
      mask_outputs: depth is 0 where these masks are 0.
      save: lossless formats to write: npz, npy, png16, exr, tiff, ply, or none.
      videos: videos to write: src (the source as the network saw it), vis (the depth in colours), sbs (both side by
        side), or none.
      range: what the colours span, in disparity or in metric depth: `clip` (least to greatest of the clip),
        `percentile` (1% to 99%), or `low,high`.
      png_scale: 16-bit PNG holds depth times this; 0 chooses the largest power of two that fits the clip.
      verbose: print each window's scale and shift.
    """

    input: Annotated[str, tyro.conf.Suppress] = ""  # the command takes any number of inputs
    windows: Annotated[AlignRule, spelled("--align")] = "endodav"
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

    def __post_init__(self):
        super().__post_init__()
        no_limit(self, "target_fps")
        if self.png_scale < 0:
            raise ValueError(f"infer.png_scale: {self.png_scale} is negative; 0 chooses a scale")
        if self.range not in ("clip", "percentile"):
            fixed_range(self.range)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamConfig(ReadingConfig):
    """What a live source can be told.

    Attributes:
      source: a file, a camera's number (0), an address (rtsp://...), or - for a pipe.
      save: outputs, where there is a folder for them: vis (a video of the depth in colours), npy (depth frame by
        frame), or none.
      range: disparities that the colours span, `low,high`; empty for the widest range seen so far.
    """

    source: Annotated[str, *positional("SOURCE")]
    save: Annotated[tuple[LiveOutput, ...], Listed] = ("vis",)
    range: Annotated[str, spelled(metavar="LOW,HIGH")] = ""

    def __post_init__(self):
        super().__post_init__()
        if self.range:
            try:
                fixed_range(self.range)
            except ValueError:
                raise ValueError(f"stream.range: {self.range!r} must be two numbers, LOW,HIGH") from None


def no_limit(config: ReadingConfig, field: str) -> None:
    """Checks a limit; -1 stands for none, as in Video-Depth-Anything, and is kept as 0."""
    if getattr(config, field) == -1:
        object.__setattr__(config, field, type(getattr(config, field))(0))
    if getattr(config, field) < 0:
        raise ValueError(f"infer.{field}: {getattr(config, field)} is negative; 0 stands for no limit")


def fixed_range(text: str) -> tuple[float, float]:
    """Returns (low, high) of `low,high`; raises `ValueError` for anything else."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"infer.range: {text!r} is neither clip nor percentile nor two numbers low,high") from None
    if not low < high:
        raise ValueError(f"infer.range: {text!r} must be two numbers, the lower one first")
    return low, high
