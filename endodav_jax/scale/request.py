"""Parses the arguments of `--scale`."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np

from endodav_jax.errors import UserError

Kind = Literal["stereo", "points", "poses", "length"]
FORMS = "stereo, points FILE, poses FILE, or length X1,Y1,X2,Y2,FRAME=MM"


@dataclasses.dataclass(frozen=True)
class KnownLength:
    """Two pixels of a frame, (x, y) in pixels of the source, and the distance between the points they show."""

    first: tuple[float, float]
    second: tuple[float, float]
    frame: int
    mm: float


@dataclasses.dataclass(frozen=True)
class ScaleRequest:
    """The requested source of metric scale.

    Attributes:
      kind: kind of the source.
      path: file of points or poses.
      length: known length.
    """

    kind: Kind
    path: Path | None = None
    length: KnownLength | None = None

    @property
    def file(self) -> Path:
        """`path`, for sources that are a file."""
        assert self.path is not None
        return self.path

    @property
    def words(self) -> str:
        """The arguments as given."""
        if self.length is not None:
            known = self.length
            return f"length {known.first} to {known.second} of frame {known.frame}, {known.mm:g} mm"
        return self.kind if self.path is None else f"{self.kind} {self.path}"


def read_request(words: tuple[str, ...]) -> ScaleRequest | None:
    """Parses the words after `--scale`; returns None if there are none.

    Raises:
      UserError: invalid form, or a missing file.
    """
    match words:
        case ():
            return None
        case ("stereo",):
            return ScaleRequest("stereo")
        case ("points" | "poses" as kind, file):
            if not Path(file).is_file():
                raise UserError(f"--scale {kind} {file}: no such file; check the name")
            return ScaleRequest(kind, path=Path(file))
        case ("length", text):
            return ScaleRequest("length", length=_length(text))
    raise UserError(f"--scale {' '.join(words)}: expected {FORMS}")


def _length(text: str) -> KnownLength:
    try:
        place, mm = text.split("=")
        *pixels, frame = (float(number) for number in place.split(","))
        x1, y1, x2, y2 = pixels
        if not frame.is_integer():
            raise ValueError(frame)
        known = KnownLength((x1, y1), (x2, y2), int(frame), float(mm))
    except ValueError as error:
        raise UserError(f"--scale length {text}: expected X1,Y1,X2,Y2,FRAME=MM: 310,205,402,220,17=12.5") from error
    if not (np.isfinite(known.mm) and known.mm > 0) or known.first == known.second or known.frame < 0:
        raise UserError(f"--scale length {text}: give two different pixels, a frame from 0, and a length above 0 mm")
    return known
