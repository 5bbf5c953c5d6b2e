"""The `data` section of a configuration: the prepared data set, and how clips are drawn from it."""

import dataclasses
from typing import Literal

from endodav_jax.data.phantom.config import LEAST_SIDE, SEEDS, FamilyName
from endodav_jax.fields import check_choices, check_numbers


@dataclasses.dataclass(frozen=True)
class PhantomData:
    """A phantom to be rendered for the run; see `data.sources.phantom.PhantomSource`.

    Attributes:
      family: kind of world; empty for none, which uses `data.path`.
      seed: random seed, below 2^29.
      sequences: number of training sequences.
      held_out: number of validation sequences, and of test sequences; 0 for an eighth of `sequences`.
      frames: frames per sequence.
      height, width: in pixels, multiples of 32 for training.
      every: training sequences record every n-th frame of the camera's motion, as if at a lower frame rate.
      held_out_frames: frames of each other sequence, which records every frame; 0 for as many as `frames`.
    """

    family: FamilyName | Literal[""] = ""
    seed: int = 0
    sequences: int = 8
    held_out: int = 0
    frames: int = 48
    height: int = 128
    width: int = 160
    every: int = 1
    held_out_frames: int = 0

    def __post_init__(self):
        check_choices(self, "data.phantom")
        check_numbers(self, "data.phantom", positive=("sequences", "frames", "every"))
        if self.seed >= SEEDS:
            raise ValueError(f"data.phantom.seed: {self.seed} must be below {SEEDS}")
        for field in ("height", "width"):
            if getattr(self, field) < LEAST_SIDE:
                raise ValueError(f"data.phantom.{field}: {getattr(self, field)} must be at least {LEAST_SIDE}")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Training clips from a prepared data set.  Contradictions raise `ValueError` when it is built.

    Attributes:
      phantom: a phantom rendered for the run, instead of `path`.
      path: folder made by `endodav prepare` (or a folder above it with a single prepared data set).
      split: the split to use.
      clip_length: T, frames of a clip without its two neighbours.
      batch_size: clips per step over all processes and devices.
      frame_max_interval: largest interval between frames of a clip; one interval is drawn per clip.
      frame_interval: `drawn` up to `frame_max_interval`, or `auto`, which replaces it by the interval with enough
        parallax for learning, measured when the data are opened.
      straddle_sequences: draw windows from all sequences joined in file order, as published, so that some
        start in one sequence and end in the next.
      short_sequences: what to do with a sequence of fewer than T + 2 frames.
      intrinsics: `stored` in the records; `guessed`, the same also where the data have only a guess in their place; or
        the published `constant` (0.82 W, 1.02 H, W/2, H/2).
      ground_truth: whether batches carry `depth_mm` and `cam_from_world` (never used by a self-supervised loss).
      neighbour_flow: whether batches carry `neighbour_flow`; a run that solves the camera from it sees to that itself.
      camera_paths: file of solved camera paths, which adds `path_pose`, `path_log_depth` and `path_points` to batches;
        clips then lie within its stretches.  A run whose camera is `path` sees to that itself.
      jitter_probability: fraction of clips with colour jitter.
      mirror_probability: fraction of clips mirrored left to right.
      brightness, contrast, saturation: factors are drawn from 1 - x to 1 + x.
      hue: shifts are drawn from -x to x, in turns of the colour circle.
      threads: threads per process for reading and decoding.
      workers: additional processes for decoding; 0 uses only threads, which is usually sufficient.
      prefetch: number of batches prepared in advance.
    """

    phantom: PhantomData = PhantomData()
    path: str = ""
    split: str = "train"
    clip_length: int = 16
    batch_size: int = 1
    frame_max_interval: int = 1
    frame_interval: Literal["drawn", "auto"] = "drawn"
    straddle_sequences: bool = False
    short_sequences: Literal["skip", "error"] = "skip"
    intrinsics: Literal["stored", "guessed", "constant"] = "stored"
    ground_truth: bool = False
    neighbour_flow: bool = False
    camera_paths: str = ""
    jitter_probability: float = 0.5
    mirror_probability: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.1
    threads: int = 4
    workers: int = 0
    prefetch: int = 8

    def __post_init__(self):
        check_choices(self, "data")
        check_numbers(self, "data", positive=("clip_length", "batch_size", "frame_max_interval", "threads", "prefetch"))
        for field in ("jitter_probability", "mirror_probability", "brightness", "contrast", "saturation"):
            if getattr(self, field) > 1:
                raise ValueError(f"data.{field}: {getattr(self, field)} must be between 0 and 1")
        if self.camera_paths:
            self.check_fits_camera_paths()
        if self.hue > 0.5:
            raise ValueError(f"data.hue: {self.hue} must be between 0 and 0.5")

    def check_fits_camera_paths(self) -> None:
        """Raises `ValueError` if clips are drawn in a way in which no camera path can follow them."""
        if self.straddle_sequences:
            raise ValueError(
                "data.straddle_sequences: no camera path leads from one sequence to the next; switch it off"
            )

    @property
    def window(self) -> int:
        """T + 2: frames of a clip with both neighbours."""
        return self.clip_length + 2
