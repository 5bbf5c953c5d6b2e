"""Reads what DICOM headers say about the pictures, and nothing about the patient."""

import contextlib
import dataclasses
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from endodav_jax.errors import UserError
from endodav_jax.video.dicom_frames import ATTRIBUTES, UNDEFINED_LENGTH, items_of, stored_frames
from endodav_jax.video.frames import SQUARE

DICOM_SUFFIXES = (".dcm", ".dic", ".dicom")
_PREAMBLE = 128

# The only attributes that are read.  Names, dates and identifiers of a patient or an examination are not among them;
# the series identifier is used to tell series apart and is never passed on.
_ATTRIBUTES = (
    "BitsAllocated", "BitsStored", "Columns", "CineRate", "FrameTime", "FrameTimeVector", "ImageHorizontalFlip",
    "ImageRotation", "ImagerPixelSpacing", "InstanceNumber", "NominalScannedPixelSpacing", "NumberOfFrames",
    "PatientOrientation", "PhotometricInterpretation", "PixelAspectRatio", "PixelRepresentation", "PixelSpacing",
    "RecommendedDisplayFrameRate", "RescaleIntercept", "RescaleSlope", "Rows", "SOPClassUID", "SamplesPerPixel",
    "SeriesInstanceUID", "WindowCenter", "WindowWidth", "VOILUTFunction",
)  # fmt: skip
# MPEG-2 is .100 and .101, H.264 .102 to .106, HEVC .107 and .108; each has a variant in pieces, .100.1 and so on.
_VIDEO = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))
_CODES = {"A", "P", "R", "L", "H", "F"}


@dataclasses.dataclass(frozen=True)
class DicomHeader:
    """What a DICOM file says about its pictures.

    Attributes:
      frames: the number of frames that it holds, or announces if that is more.
      announced: the number that it announces; 1 if it gives none.
      size: (height, width) as stored; None if the file holds no pictures.
      is_video: whether the pictures are one stream of video.
      syntax: name of the transfer syntax.
      times: seconds from each frame to the next, or one number for all of them; None if unknown.
      spacing_mm: distance between neighbouring rows and columns in mm; None if not given.
      pixel_aspect: width over height of a pixel.
      orientation: directions of rows and columns, in letters (A, P, R, L, H, F); None if not given.
      quarter_turns: how many times to rotate pictures by 90 degrees clockwise.
      flip: whether to mirror them left to right first.
      series: tells series apart within one run.
      number: position in the series.
    """

    frames: int
    announced: int
    size: tuple[int, int] | None
    is_video: bool
    syntax: str
    times: float | tuple[float, ...] | None
    spacing_mm: tuple[float, float] | None
    pixel_aspect: Fraction
    orientation: tuple[str, str] | None
    quarter_turns: int
    flip: bool
    series: str
    number: int

    @property
    def about(self) -> dict:
        """The part that goes into a description."""
        about: dict = {"container": "DICOM", "transfer_syntax": self.syntax}
        if self.spacing_mm is not None:
            about["pixel_spacing_mm"] = list(self.spacing_mm)
        if self.orientation is not None:
            about["orientation"] = list(self.orientation)
        return about


def is_dicom(path: Path) -> bool:
    """Returns whether a file begins like a DICOM file, whatever its suffix."""
    try:
        with path.open("rb") as file:
            file.seek(_PREAMBLE)
            return file.read(4) == b"DICM"
    except OSError:
        return False


def need_pydicom(name: str) -> None:
    """Raises a `UserError` if the optional package is missing."""
    if importlib.util.find_spec("pydicom") is None:
        raise UserError(f"{name}: is DICOM, which needs the package pydicom; pip install 'endodav-jax[dicom]'")


@contextlib.contextmanager
def discreet() -> Iterator[None]:
    """Silences pydicom: its warnings quote values, which may be the patient's."""
    logger = logging.getLogger("pydicom")
    disabled, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = disabled


def read_header(path: Path, name: str) -> DicomHeader:
    """Reads what a DICOM file says about its pictures, but not the pictures themselves.

    Raises:
      UserError: pydicom is missing, or the file cannot be read.
    """
    need_pydicom(name)
    import pydicom

    try:
        with path.open("rb") as file, discreet():
            tags = [*_ATTRIBUTES, *ATTRIBUTES]
            values = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=tags)
            syntax = values.file_meta.get("TransferSyntaxUID")
            header = _header(values, syntax)
            if header.size is None or header.is_video:
                return header
            return dataclasses.replace(header, frames=stored_frames(file, values, header.announced))
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror or 'its end is missing'}); copy it anew") from None
    except Exception:  # pydicom raises whatever parsing raises, with the offending values in the text
        raise UserError(f"{name}: its DICOM header is damaged; export it anew") from None


def _header(values, syntax) -> DicomHeader:
    rows, columns = _integer(values.get("Rows")), _integer(values.get("Columns"))
    size = (rows, columns) if rows and columns and syntax else None
    orientation = values.get("PatientOrientation")
    orientation = tuple(str(part) for part in orientation) if orientation else None
    if orientation is not None and not (len(orientation) == 2 and all(set(part) <= _CODES for part in orientation)):
        orientation = None
    announced = max(1, _integer(values.get("NumberOfFrames")) or 1)
    return DicomHeader(
        frames=announced,
        announced=announced,
        size=size,
        is_video=bool(syntax) and str(syntax).removesuffix(".1") in _VIDEO,
        syntax=syntax.name if syntax else "",
        times=_times(values),
        spacing_mm=_spacing(values),
        pixel_aspect=_aspect(values),
        orientation=orientation,
        quarter_turns=(_integer(values.get("ImageRotation")) or 0) // 90 % 4,
        flip=values.get("ImageHorizontalFlip") == "Y",
        series=str(values.get("SeriesInstanceUID", "")),
        number=_integer(values.get("InstanceNumber")) or 0,
    )


def _times(values) -> float | tuple[float, ...] | None:
    vector = values.get("FrameTimeVector")
    if vector and not isinstance(vector, (str, float, int)) and len(vector) > 1:
        steps = tuple(float(step) / 1000 for step in vector[1:])  # the first belongs to the first frame and is 0
        if all(step > 0 for step in steps):
            return steps
    for keyword, seconds in (
        ("FrameTime", lambda value: value / 1000),
        ("CineRate", lambda value: 1 / value),
        ("RecommendedDisplayFrameRate", lambda value: 1 / value),
    ):
        value = values.get(keyword)
        if value and 0 < float(value) < 1e6:
            return seconds(float(value))
    return None


def _spacing(values) -> tuple[float, float] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        pair = values.get(keyword)
        if pair and len(pair) == 2 and all(float(part) > 0 for part in pair):
            return float(pair[0]), float(pair[1])
    return None


def _aspect(values) -> Fraction:
    """The ratio of vertical to horizontal size, or the spacing of rows and columns."""
    ratio = values.get("PixelAspectRatio")
    if ratio and len(ratio) == 2:
        across, down = _integer(ratio[0]), _integer(ratio[1])
        if across and down:
            return Fraction(down, across)
    spacing = _spacing(values)
    if spacing is not None:
        return Fraction(spacing[1] / spacing[0]).limit_denominator(1000)
    return SQUARE


def _integer(value) -> int | None:
    return None if value in (None, "") else int(value)


def video_part(path: Path) -> list[tuple[int, int]]:
    """Returns (offset, length) of each piece of the video in a DICOM file, in order.

    The value is a sequence of items, the first of which is a table of offsets, or (rarely) bytes of known length.

    Raises:
      ValueError: the value is not such a sequence.
    """
    import pydicom

    with path.open("rb") as file:
        with discreet():
            pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=["Rows"])
        tag = file.read(4)
        if tag != b"\xe0\x7f\x10\x00":
            raise ValueError("no pixel data")
        file.seek(4, io.SEEK_CUR)
        length = int.from_bytes(file.read(4), "little")
        if length != UNDEFINED_LENGTH:
            return [(file.tell(), length)]
        return items_of(file)[1:]
