"""What every source of frames gives, how it is asked for, and how it says that it cannot go on."""

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
      index: place in the source, from 0; frames that were left out keep their numbers.
      time: seconds since the first frame, strictly increasing.
    """

    rgb: np.ndarray
    index: int
    time: float


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a source is to be read, as far as the user decides.

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
    """A video or a sequence of images, upright, before anything is cut or resized.

    Iterating starts at the first frame every time and holds one frame at a time.

    Attributes:
      name: for messages.
      stem: what output files are named after.
      size: (height, width), the same for every frame.
      fps: average frames a second.
      count: how many frames there are: exact for images, about as many for video, None where nothing tells.
      timed: whether the frames carry times of their own (images do not).
      pixel_aspect: width over height of a pixel as it is meant to be shown.
      about: what else is known and means something for the result, by name; what JSON holds.
      notes: one line for each thing that the user should know; complete when the source was read to its end.
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
