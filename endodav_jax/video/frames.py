"""The interface of every source of frames: frames, reading options, and the error for a source that breaks off."""

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from endodav_jax.errors import UserError

Deinterlace = Literal["auto", "on", "off"]

SQUARE = Fraction(1)


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
      rgb: uint8 [H, W, 3].
      index: position in the source, from 0; skipping a frame does not renumber the others.
      time: seconds since the first frame, strictly increasing.
    """

    rgb: np.ndarray
    index: int
    time: float


@dataclasses.dataclass(frozen=True)
class Reading:
    """The user's options for reading a source.

    Attributes:
      deinterlace: `auto` deinterlaces the frames that the file marks as two fields, `on` all, `off` none.
      track: number of the video track, from 0; None chooses.
    """

    deinterlace: Deinterlace = "auto"
    track: int | None = None


AS_IT_IS = Reading()


class ReadingStopped(UserError):
    """The rest of a source cannot be read; the frames before it were good and may be kept."""


@runtime_checkable
class FrameSource(Protocol):
    """A video or a sequence of images, upright, before any cropping or resizing.

    Each iteration starts at the first frame and holds one frame at a time.

    Attributes:
      name: for messages.
      stem: base name for output files.
      size: (height, width), the same for every frame.
      fps: average frames per second.
      count: number of frames: exact for images, approximate for video, None if unknown.
      timed: whether the frames carry times of their own (images do not).
      pixel_aspect: width over height of a pixel when displayed.
      about: other facts that matter for the result, by name; JSON-serialisable.
      notes: one line for each thing that the user should know; complete once the source has been read to its end.
    """

    name: str
    stem: str
    fps: Fraction
    pixel_aspect: Fraction

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def count(self) -> int | None: ...

    @property
    def timed(self) -> bool: ...

    @property
    def about(self) -> dict: ...

    @property
    def notes(self) -> list[str]: ...

    def __iter__(self) -> Iterator[Frame]: ...

    def samples(self, count: int) -> list[np.ndarray]:
        """Returns up to `count` frames, uint8 [H, W, 3], spread over the whole source."""
        ...
