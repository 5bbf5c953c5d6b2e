"""What every source of frames gives, and how it says that it cannot go on."""

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

import numpy as np

from endodav_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
      rgb: uint8 [H, W, 3].
      index: place in the source, from 0; frames that were left out keep their numbers.
      time: seconds since the first frame.
    """

    rgb: np.ndarray
    index: int
    time: float


class ReadingStopped(UserError):
    """The rest of a source cannot be read; the frames before it were good and may be kept."""


class FrameSource(Protocol):
    """A video or a sequence of images, upright, before anything is cut or resized.

    Iterating starts at the first frame every time and holds one frame at a time.

    Attributes:
      name: for messages.
      stem: what output files are named after.
      size: (height, width), the same for every frame.
      fps: average frames a second.
      count: how many frames there are, exact for images, from the header for video, None where it does not say.
      timed: whether the frames carry times of their own (images do not).
    """

    name: str
    stem: str
    fps: Fraction

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def count(self) -> int | None: ...

    @property
    def timed(self) -> bool: ...

    def __iter__(self) -> Iterator[Frame]: ...

    def samples(self, count: int) -> list[np.ndarray]:
        """Returns up to `count` frames, uint8 [H, W, 3], spread over the whole source."""
        ...
