"""Outputs written frame by frame while a surface is fused: videos, errors, and pictures for the report."""

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np

from endodav_jax.depth_video.outputs import depth_frame
from endodav_jax.reconstruction.clip import DepthView
from endodav_jax.reconstruction.config import ReconstructConfig
from endodav_jax.reconstruction.layout import Layout
from endodav_jax.reconstruction.network_clip import NetworkClip
from endodav_jax.reconstruction.tracker import Tracked
from endodav_jax.report.pictures import small, small_map
from endodav_jax.scale.estimate import Scale
from endodav_jax.video.colour import MOST_ERROR, colour_table, colourise
from endodav_jax.video.depth_files import DepthFrame, write_npz
from endodav_jax.video.encoder import mp4_writer
from endodav_jax.video.spool import DisparitySpool

SHOWN = 4  # frames in the report


@dataclasses.dataclass
class Shown:
    """The frames shown in the report.

    Attributes:
      frames: (number, frame, depth, expected error) of a few frames, reduced.
      index, error, used: for every frame: its number, median expected error, fraction of the view that is fused.
    """

    frames: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]] = dataclasses.field(default_factory=list)
    index: list[int] = dataclasses.field(default_factory=list)
    error: list[float] = dataclasses.field(default_factory=list)
    used: list[float] = dataclasses.field(default_factory=list)


class SceneWriter:
    """Takes every frame with its expected error; `finish` writes the .npz."""

    def __init__(self, layout: Layout, clip: NetworkClip, config: ReconstructConfig):
        self._layout, self._clip, self._config = layout, clip, config
        self._files = contextlib.ExitStack()
        self.shown = Shown()
        count = len(clip.indices)
        self._chosen = {clip.indices[round(place * (count - 1))] for place in np.linspace(0.1, 0.9, SHOWN)}

    def __enter__(self) -> "SceneWriter":
        reader = self._clip.reader
        self._spool = self._files.enter_context(DisparitySpool(self._layout.folder, reader.size, None))
        self._depth = self._files.enter_context(mp4_writer(self._layout.depth_video, reader.fps))
        self._confidence = self._files.enter_context(mp4_writer(self._layout.confidence_video, reader.fps))
        return self

    def __exit__(self, *error) -> None:
        self._files.__exit__(*error)

    def __call__(self, view: DepthView, tracked: Tracked, error: np.ndarray) -> None:
        """Writes a frame."""
        self._spool.append(view.index, error.astype(np.float32))
        spool = self._clip.disparities
        known = view.inside & (view.depth > 0)
        disparity = np.where(known, 1 / np.maximum(view.depth, 1e-6), 0).astype(np.float32)
        depths = [float(self._clip.model.depth(max(value, 1e-6))) for value in (spool.low, spool.high)]
        span = 1 / max(depths), 1 / min(depths)
        self._depth(colourise(disparity, *span, colour_table(self._config.cmap), known))
        self._confidence(colourise(error, 0.0, MOST_ERROR, colour_table("viridis"), known))
        shown = self.shown
        shown.index.append(view.index)
        shown.error.append(float(np.median(error[known])) if known.any() else float("nan"))
        shown.used.append(float(view.tissue().sum() / max(1, self._clip.inside.sum())) * (tracked.piece >= 0))
        if view.index in self._chosen:
            depth, expected = (small_map(np.where(known, values, 0)) for values in (view.depth, error))
            shown.frames.append((view.index, small(view.rgb), depth, expected))

    def finish(self, intrinsics: np.ndarray, scale: Scale | None) -> None:
        """Writes the .npz of all frames.

        Raises:
          UserError: it cannot be written.
        """
        clip = self._clip

        def frames() -> Iterator[DepthFrame]:
            return (depth_frame(clip.model, index, output, clip.inside) for index, output in clip.disparities)

        maps = {
            "disparities": lambda: (frame.disparity for frame in frames()),
            "depths": lambda: (frame.depth for frame in frames()),
            "expected_errors": lambda: (error for _, error in self._spool),
        }
        if clip.model.metric:
            del maps["disparities"]
        if scale is not None:
            maps["depths_mm"] = lambda: (frame.depth * np.float32(scale.factor) for frame in frames())
        write_npz(self._layout.depths, clip.reader.size, clip.indices, maps, clip.reader.fps, intrinsics)
