"""The depth of a clip from a network, kept on disk, and the camera predicted by the weights' pose network."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from endodav_jax.data.contract import EvaluationFrame
from endodav_jax.depth_video.corrected import Steady, corrected
from endodav_jax.depth_video.passes import frame_again
from endodav_jax.errors import UserError
from endodav_jax.evaluation.motion import MotionEstimator
from endodav_jax.inference.windows import AlignRule
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.reconstruction.clip import DepthView, window_difference
from endodav_jax.video.frame_masks import FrameMasks, fitted_mask
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.image_files import ImageSequence, images_in
from endodav_jax.video.reader import FrameReader
from endodav_jax.video.spool import DisparitySpool
from endodav_jax.video.undistorted_reader import UndistortedReader

REPEATED = 0.5  # grey levels: a frame that differs by less on average repeats the one before; noise alone exceeds it


class NetworkClip:
    """Frames of a reader with depth from a network; every call yields them from the start.

    Attributes:
      indices: frame numbers in the source.
      stopped: why reading ended early, or None.
      repeated: how many frames repeat the one before, as in recordings that were brought to a higher frame rate.
      disparities: their spool; for a metric network, its depth in metres.
      model: configuration of the network, set by `infer`.
    """

    def __init__(
        self,
        reader: FrameReader,
        inside: np.ndarray | None,
        instruments: FrameMasks | None,
        folder: Path,
        files: contextlib.ExitStack,
    ):
        """Takes frames, the view, masks that are nonzero on instruments or none, and a folder for temporary files."""
        self.reader, self._instruments = reader, instruments
        self.inside = np.ones(reader.size, bool) if inside is None else inside
        self.indices: list[int] = []
        self._model: DepthModelConfig | None = None
        self.stopped: ReadingStopped | None = None
        self.repeated = 0
        self.disparities = files.enter_context(DisparitySpool(folder, reader.size, inside))
        self._differences = files.enter_context(DisparitySpool(folder, reader.size, inside))

    @property
    def model(self) -> DepthModelConfig:
        """The network that was run by `infer`."""
        assert self._model is not None
        return self._model

    def infer(self, estimator, align: AlignRule, copy: Callable[[np.ndarray], object], on_frame) -> None:
        """Runs the network.

        Args:
          estimator: a `DepthEstimator`.
          align: how windows are aligned.
          copy: called with every frame that is read.
          on_frame: called after each.

        Raises:
          UserError: no frames, no space, or values that are not finite.
        """
        apart: dict[int, np.ndarray] = {}

        def frames() -> Iterator[np.ndarray]:
            before = None
            try:
                for frame in self.reader:
                    self.indices.append(frame.index)
                    if before is not None and np.abs(frame.rgb.astype(np.int16) - before).mean() < REPEATED:
                        self.repeated += 1
                    before = frame.rgb
                    copy(frame.rgb)
                    yield frame.rgb
            except ReadingStopped as stopped:
                self.stopped = stopped

        def on_overlap(number: int, earlier: np.ndarray, later: np.ndarray) -> None:
            apart[number] = window_difference(earlier, later)

        view = None if self.inside.all() else self.inside
        self._model = estimator.config
        inferred = estimator.iter_infer(frames(), align=align, view_mask=view, on_overlap=on_overlap)
        with contextlib.closing(inferred):
            for number, disparity in inferred:
                index = self.indices[number]
                self.disparities.append(index, np.asarray(disparity, np.float32))
                if number in apart:
                    self._differences.append(index, apart.pop(number).astype(np.float32))
                on_frame()
        if not len(self.disparities):
            raise self.stopped or UserError(f"{self.reader.source.name}: contains no frames; name another video")
        if self._instruments is not None:
            _check_complete(self._instruments, self.indices)

    def correct(self, steady: Steady, files: contextlib.ExitStack) -> Iterator[Float32[np.ndarray, "H W"]]:
        """Corrects depth, and returns what log depth changed by in each frame; 0 where there is none.

        Raises:
          UserError: no space.
        """
        before = self.disparities
        self.disparities = files.enter_context(corrected(before, self.model, steady))

        def changes() -> Iterator[np.ndarray]:
            for (_, old), (_, new) in zip(before, self.disparities, strict=True):
                known = (old > 0) & (new > 0)
                log_new, log_old = (np.log(self.model.depth(np.where(known, output, 1))) for output in (new, old))
                yield (log_new - log_old).astype(np.float32)

        return changes()

    def __call__(self) -> Iterator[DepthView]:
        differences = iter(self._differences)
        following = next(differences, None)
        instrument_of = None if self._instruments is None else self._instruments.reader()
        frames = iter(self.reader)
        for index, disparity in self.disparities:
            rgb = frame_again(frames, index, self.reader)
            inside = self.inside
            if instrument_of is not None:
                inside = inside & self._tissue(instrument_of(index))
            apart = None
            if following is not None and following[0] == index:
                apart, following = following[1], next(differences, None)
            # A disparity of 0 means infinitely far or outside: no depth.  (Nor is a metric depth of 0 valid.)
            depth = np.where(inside & (disparity > 0), self.model.depth(disparity), 0).astype(np.float32)
            yield DepthView(index, rgb, depth, inside, apart)

    def _tissue(self, instrument: np.ndarray | None) -> np.ndarray:
        """The mask of a frame as it is processed, true off instruments: inverted first, so that edges are left out."""
        assert self._instruments is not None
        assert instrument is not None  # every frame has one, as `infer` checks
        reader = self.reader
        sizes = reader.source.size, reader.full_size, reader.size
        tissue = fitted_mask(~instrument, reader.window, *sizes, self._instruments.path)
        return reader.undistorter.mask(tissue) if isinstance(reader, UndistortedReader) else tissue


def find_instruments(folder: str, reader: FrameReader) -> FrameMasks | None:
    """Returns the masks in a folder, matched to the frames of the source, after checking the first; None without one.

    Raises:
      UserError: no such folder, images of another size, or a frame that will be read has none.
    """
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise UserError(f"--instruments {folder}: no such folder")
    masks = FrameMasks(Path(folder), reader.source)
    size = ImageSequence(images_in(Path(folder)), folder, "instruments").size
    if size not in (reader.source.size, reader.full_size, reader.size):
        wanted = f"{reader.full_size[1]}x{reader.full_size[0]}"
        raise UserError(
            f"--instruments {folder}: the masks are {size[1]}x{size[0]}, the frames {wanted}; make them equal"
        )
    if isinstance(reader.source, ImageSequence) and not reader.thinned and reader.count is not None:
        _check_complete(masks, range(reader.count))
    return masks


def _check_complete(masks: FrameMasks, indices: Sequence[int]) -> None:
    """Raises `UserError` if one of these frames of the source has no mask."""
    missing = masks.missing(indices)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"--instruments {masks.path}: no mask for frame {missing[0]}{more}; give one for each")


def network_motions(
    params: dict[str, dict], reader: FrameReader, count: int, inside: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Returns `later_from_earlier` between neighbours of the first `count` frames, and the learned camera.

    Returns:
      [count - 1] of float64 [4,4] in the depth's unit; (fx, fy, cx, cy) in pixels, the median over the clip, or None
      if the weights have no intrinsics head.
    """
    estimator = MotionEstimator(params)

    def frames() -> Iterator[EvaluationFrame]:
        for frame in itertools.islice(reader, count):  # no further: reading may have stopped there
            yield EvaluationFrame(
                frame=frame.rgb, depth_mm=None, cam_from_world=None, intrinsics=np.zeros(4), view_mask=inside,
                sequence="", frame_index=frame.index,
            )  # fmt: skip

    found = list(estimator(frames()))
    cameras = [intrinsics for _, intrinsics in found if intrinsics is not None]
    return [motion for motion, _ in found], np.median(cameras, axis=0) if cameras else None
