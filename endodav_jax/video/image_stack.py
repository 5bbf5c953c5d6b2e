"""Files that hold several images: multi-page TIFF, animated PNG and WebP."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from endodav_jax.errors import UserError
from endodav_jax.video.tiff_pixels import bright_is_high

TIFF_SUFFIXES = (".tif", ".tiff")
_REDUCED_OR_MASK = 0b101  # bits of NewSubfileType: a smaller copy of another page, a mask


@dataclasses.dataclass(frozen=True)
class Pages:
    """Which images of a file are frames.

    Attributes:
      numbers: indices of the frames among all images in the file, in the order in which they are read.
      left_out: how many other images there are, including smaller copies.
      contiguous: the file describes only the first of many images and stores the others after it, as ImageJ does.
      channels: how many consecutive numbers make up a frame, one for each colour.
    """

    numbers: tuple[int, ...] = (0,)
    left_out: int = 0
    contiguous: bool = False
    channels: int = 1

    def __len__(self) -> int:
        return len(self.numbers) // self.channels


ONE = Pages()


def pages_of(path: Path, image: Image.Image | None) -> Pages:
    """Returns which images of a file are frames.

    Args:
      image: the opened file; None if Pillow cannot open it, in which case it is a TIFF.

    Raises:
      UserError: a TIFF whose pages are channels of something other than colour.
    """
    if path.suffix.lower() in TIFF_SUFFIXES:
        return _tiff_pages(path)
    count = getattr(image, "n_frames", 1)
    if image is None or count == 1:
        return ONE
    if image.format in ("PNG", "WEBP", "GIF"):
        # An APNG may have a separate picture for viewers that do not support animations.
        first = 1 if getattr(image, "default_image", False) else 0
        return Pages(tuple(range(first, count)), left_out=first)
    return Pages(left_out=count - 1)  # a camera's JPEG with a preview or a second view


def seconds_of_pages(path: Path, pages: Pages) -> list[float] | None:
    """Returns how long each image of an animation is shown; None if the file does not say."""
    if path.suffix.lower() in TIFF_SUFFIXES or len(pages) == 1:
        return None
    seconds = []
    with Image.open(path) as image:
        for number in pages.numbers:
            image.seek(number)
            image.load()
            seconds.append(float(image.info.get("duration", 0)) / 1000)
    return seconds if all(each > 0 for each in seconds) else None


def contiguous_frames(path: Path) -> Iterator[np.ndarray]:
    """Yields the images [H, W, C] of a file that describes only its first one."""
    with tifffile.TiffFile(path) as file:
        axes, page = file.series[0].axes, file.pages.first
    values: np.ndarray = tifffile.memmap(path, mode="r", series=0)
    colour = "C" if "C" in axes and values.shape[axes.index("C")] == 3 else "S"
    values = np.moveaxis(values, axes.index(colour), -1) if colour in axes else values[..., None]
    for place in np.ndindex(values.shape[:-3]):
        yield bright_is_high(values[place], page)


def _tiff_pages(path: Path) -> Pages:
    with tifffile.TiffFile(path) as file:
        pages = list(file.pages)
        series = file.series[0] if len(file.series) else None
        shape = dict(zip(series.axes, series.shape, strict=True)) if series is not None else {}
        channels = shape.pop("C", 1)
        others = int(np.prod([length for axis, length in shape.items() if axis not in "YXS"], dtype=np.int64))
        if others == 1 and channels != 3:  # a row of images along an unnamed axis
            others, channels = channels, 1
        alone = (file.is_imagej or file.is_shaped) and len(pages) == 1
        if alone and others * channels > 1 and series is not None and series.dataoffset is not None:
            _check_channels(path, channels)
            return Pages(tuple(range(others)), contiguous=True)
        same = tuple(
            number
            for number, page in enumerate(pages)
            if page.shape[:2] == pages[0].shape[:2] and not int(getattr(page, "subfiletype", 0)) & _REDUCED_OR_MASK
        ) or (0,)
        numbers = _in_order(series, same)
    if channels > 1 and len(same) % channels == 0 and (numbers or file.is_imagej or file.is_ome):
        _check_channels(path, channels)
        if numbers is None and series is not None and not series.axes.rstrip("YXS").endswith("C"):
            raise UserError(f"{path}: the order of its pages is not known; save it as RGB")
        return Pages(numbers or same, len(pages) - len(same), channels=channels)
    return Pages(numbers or same, len(pages) - len(same))


def _in_order(series: tifffile.TiffPageSeries | None, same: tuple[int, ...]) -> tuple[int, ...] | None:
    """Returns the numbers of pages so that the channels of each frame follow each other; None if that is not known.

    OME files may store all images of one channel before those of the next, and name their pages in any order.
    """
    if series is None or any(page is None for page in series.pages):
        return None
    numbers = np.array([page.index for page in series.pages if page is not None])
    leading = [(axis, length) for axis, length in zip(series.axes, series.shape, strict=True) if axis not in "YXS"]
    if sorted(numbers.tolist()) != list(same) or numbers.size != np.prod([length for _, length in leading], dtype=int):
        return None
    axes = "".join(axis for axis, _ in leading)
    if "C" in axes:
        numbers = np.moveaxis(numbers.reshape([length for _, length in leading]), axes.index("C"), -1)
    return tuple(numbers.ravel().tolist())


def _check_channels(path: Path, channels: int) -> None:
    if channels not in (1, 3):
        raise UserError(f"{path}: its pages are {channels} channels of each image; save it as RGB")
