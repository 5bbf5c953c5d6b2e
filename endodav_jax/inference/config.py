"""Everything that depth of a video can be told: the `infer` section of a configuration."""

import dataclasses
from typing import Literal

Align = Literal["endodav", "vda", "none"]
ALIGN: tuple[str, ...] = ("endodav", "vda", "none")
STEREO: tuple[str, ...] = ("none", "top", "bottom", "left", "right")
PRECISIONS: tuple[str, ...] = ("float32", "bfloat16")
COLOUR_MAPS: tuple[str, ...] = ("inferno", "magma", "turbo", "gray")
FORMATS: tuple[str, ...] = ("npz", "npy", "png16", "exr", "tiff", "ply")
VIDEOS: tuple[str, ...] = ("src", "vis", "sbs")


@dataclasses.dataclass(frozen=True)
class InferConfig:
    """What to read, how to infer, what to write.  Contradictions raise `ValueError` when it is built.

    Attributes:
      input: a video, a folder of images, a pattern (`frames/*.png`) or one image.
      align: how windows of a long video are tied together: EndoDAV's rule, Video-Depth-Anything's, or not at all.
      precision: of the network's activations.
      encoder: refuse weights of another preset; empty takes what the weights are.
      stereo: which half of the frame, where two views stand above or beside each other.
      max_len: how many frames at most; 0 is all.
      target_fps: at most so many frames a second; 0 is all of them.
      max_res: longer side of the frames at most, in pixels; 0 is as they are.
      mask: `none`, `auto` (finds the view inside a dark border) or a mask image, not 0 inside the view.
      intrinsics: `fx,fy,cx,cy` in pixels of the source (of one eye) or a file; empty is unknown.
      save: lossless formats to write, of `FORMATS`.
      videos: videos to write, of `VIDEOS`: the source as the network saw it, the depth in colours, both side by side.
      cmap: colours of disparity.
      range: what the colours span: `clip` (least to greatest of the clip), `percentile` (1% to 99%), or `low,high`.
      png_scale: 16-bit PNG holds depth times this; 0 chooses the largest power of two that fits the clip.
      overwrite: replace what is there.
      quiet: print nothing but errors.
      verbose: print each window's scale and shift.
    """

    input: str = ""
    align: Align = "endodav"
    precision: Literal["float32", "bfloat16"] = "float32"
    encoder: str = ""
    stereo: Literal["none", "top", "bottom", "left", "right"] = "none"
    max_len: int = 0
    target_fps: float = 0.0
    max_res: int = 0
    mask: str = "none"
    intrinsics: str = ""
    save: tuple[str, ...] = ("npz",)
    videos: tuple[str, ...] = VIDEOS
    cmap: Literal["inferno", "magma", "turbo", "gray"] = "inferno"
    range: str = "clip"
    png_scale: float = 0.0
    overwrite: bool = False
    quiet: bool = False
    verbose: bool = False

    def __post_init__(self):
        def choice(field: str, values, allowed) -> None:
            for value in values:
                if value not in allowed:
                    raise ValueError(f"infer.{field}: {value!r} is not one of {', '.join(allowed)}")

        choice("align", [self.align], ALIGN)
        choice("precision", [self.precision], PRECISIONS)
        choice("stereo", [self.stereo], STEREO)
        choice("save", self.save, FORMATS)
        choice("videos", self.videos, VIDEOS)
        choice("cmap", [self.cmap], COLOUR_MAPS)
        for field in ("max_len", "target_fps", "max_res", "png_scale"):
            if getattr(self, field) < 0:
                raise ValueError(f"infer.{field}: {getattr(self, field)} is negative; 0 stands for no limit")
        if self.range not in ("clip", "percentile"):
            fixed_range(self.range)


def fixed_range(text: str) -> tuple[float, float]:
    """Returns (low, high) of `low,high`; raises `ValueError` for anything else."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"infer.range: {text!r} is neither clip nor percentile nor two numbers low,high") from None
    if not low < high:
        raise ValueError(f"infer.range: {text!r} must be two numbers, the lower one first")
    return low, high
