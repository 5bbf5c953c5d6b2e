"""The common interface of every data set: sequences, a description of each, and its frames streamed in order.

A source reads a copy in place and keeps only the current frame, so that memory does not depend on the length of a
sequence.  A problem with one frame is a `BadFrame` in the stream; `FrameStream` turns it into a `UserError`, or counts
and skips it.
"""

import abc
import dataclasses
from collections.abc import Container, Iterator
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from endodav_jax.errors import UserError

OnBadFrame = Literal["error", "skip"]


@dataclasses.dataclass(frozen=True)
class SourceFrame:
    """One frame at its stored size.

    Attributes:
      frame: uint8 [H, W, 3], RGB.
      depth_mm: float32 [H, W], Z along the optical axis in mm, 0 where invalid; None without ground truth.
      cam_from_world: float64 [4, 4], world points (mm) into this camera (x right, y down, z forward); None without.
      intrinsics: float64 [4], fx, fy, cx, cy in pixels of this frame's size, integer coordinates at pixel centres.
      frame_index: index of the frame in its sequence, from 0, as the data set numbers its raw frames.
      sequence: name of the sequence.
      view_mask: bool [H, W], true where the scene is seen; None when the whole frame shows it.
      frame_mask: bool [H, W], false where this frame shows something in front of the scene, such as an instrument, that
        must be excluded from all errors; None without such masks.
    """

    frame: np.ndarray
    depth_mm: np.ndarray | None
    cam_from_world: np.ndarray | None
    intrinsics: np.ndarray
    frame_index: int
    sequence: str
    view_mask: np.ndarray | None = None
    frame_mask: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class SequenceInfo:
    """What a sequence contains, determined without decoding it.

    Attributes:
      name: name of the sequence.
      frames: number of colour frames.
      height: stored height of the left (or only) view in pixels, after any cut.
      width: stored width.
      has_depth: whether frames come with depth.
      has_pose: whether frames come with a pose.
      has_intrinsics: whether the camera comes with the data (False: a constant or a guess stands in).
      depth_frames: number of depth maps; None where counting them means unpacking an archive.
      pose_frames: number of poses.
      expected_frames: the published number of frames; None where there is none.
      layout: the form of the data set that this copy has.
      odd: one line for each thing that differs from the documentation, or that a reader should know.
      has_frame_masks: whether frames come with masks of their own.
      undistortion: what `video.undistort.Undistorter.from_json` takes, where frames are resampled.
      notes: one line for what is done to the frames, such as how much of the view that costs, or left out or ignored.
    """

    name: str
    frames: int
    height: int
    width: int
    has_depth: bool
    has_pose: bool
    has_intrinsics: bool
    depth_frames: int | None = None
    pose_frames: int | None = None
    expected_frames: int | None = None
    layout: str = ""
    odd: tuple[str, ...] = ()
    has_frame_masks: bool = False
    undistortion: dict | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class BadFrame:
    """A frame that cannot be used, and the reason, worded to follow 'SEQUENCE, frame N:'."""

    frame_index: int
    reason: str


@runtime_checkable
class Source(Protocol):
    """A data set, built from a folder and options."""

    name: str
    splits: tuple[str, ...]

    def sequences(self, split: str) -> list[str]:
        """Names of a split's sequences in the published order, whether or not this copy holds them."""

    def describe(self, sequence: str) -> SequenceInfo:
        """What the copy contains of a sequence; `UserError` if it is missing."""

    def read(
        self, sequence: str, *, on_bad_frame: OnBadFrame = "error", only: Container[int] | None = None
    ) -> "FrameStream":
        """Frames in order; `only` restricts them to some frame indices (others are not decoded where possible)."""


class FrameStream(Iterator[SourceFrame]):
    """The frames of a sequence in order, in constant memory.

    Attributes:
      skipped: one line for each frame left out so far (only with `on_bad_frame="skip"`).
    """

    def __init__(self, sequence: str, items: Iterator[SourceFrame | BadFrame], on_bad_frame: OnBadFrame):
        self.sequence = sequence
        self.skipped: list[str] = []
        self._items = items
        self._skip = on_bad_frame == "skip"

    def __iter__(self) -> "FrameStream":
        return self

    def __next__(self) -> SourceFrame:
        """Returns the next frame.

        Raises:
          UserError: a bad frame, named with its sequence, unless bad frames are skipped.
        """
        while True:
            item = next(self._items)
            if isinstance(item, SourceFrame):
                fault = fault_of(item)
                if fault is None:
                    return item
                bad = fault
            else:
                bad = item
            line = f"{self.sequence}, frame {bad.frame_index}: {bad.reason}"
            if not self._skip:
                self.close()
                raise UserError(line)
            self.skipped.append(line)

    def close(self) -> None:
        """Releases the files and temporary folders of a stream that was not read to its end."""
        if hasattr(self._items, "close"):
            self._items.close()


class SequenceSource(abc.ABC):
    """The part of `Source` shared by all data sets."""

    name: str
    splits: tuple[str, ...]

    @abc.abstractmethod
    def sequences(self, split: str) -> list[str]: ...

    @abc.abstractmethod
    def describe(self, sequence: str) -> SequenceInfo: ...

    @abc.abstractmethod
    def _items(self, sequence: str, only: Container[int] | None) -> Iterator[SourceFrame | BadFrame]: ...

    def read(
        self, sequence: str, *, on_bad_frame: OnBadFrame = "error", only: Container[int] | None = None
    ) -> FrameStream:
        """Streams a sequence's frames.

        Raises:
          UserError: the sequence is missing; with `on_bad_frame="error"` also, before anything is decoded, when it
            has other numbers of frames, poses or depth maps, and at the first bad frame.
        """
        info = self.describe(sequence)
        if on_bad_frame == "error":
            for count, what in ((info.pose_frames, "poses"), (info.depth_frames, "depth maps")):
                if count and count != info.frames:
                    raise UserError(
                        f"{sequence}: {info.frames} frames but {count} {what}; complete the copy, or skip the frames "
                        "that lack something with --on-bad-frame skip"
                    )
        return FrameStream(sequence, self._items(sequence, only), on_bad_frame)

    def _unknown_split(self, split: str) -> UserError:
        return UserError(f"{self.name}: no split {split!r}; choose one of {', '.join(self.splits)}")


def fault_of(frame: SourceFrame) -> BadFrame | None:
    """Returns what makes a decoded frame unusable, or None."""
    shape = frame.frame.shape[:2]
    if frame.depth_mm is not None:
        if frame.depth_mm.shape != shape:
            return BadFrame(
                frame.frame_index,
                f"a depth map of {_size(frame.depth_mm.shape)} for a frame of {_size(shape)}; it belongs elsewhere",
            )
        if not frame.depth_mm.any():
            return BadFrame(frame.frame_index, "its depth is zero everywhere")
    if frame.cam_from_world is not None and not np.isfinite(frame.cam_from_world).all():
        return BadFrame(frame.frame_index, "its pose is not finite")
    return None


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
