"""`endodav stream`: depth frame by frame from a camera, a pipe or a file played as if it were live."""

import dataclasses
import re
from pathlib import Path
from typing import Annotated

import tyro

from endodav_jax.depth_video.config import StreamConfig
from endodav_jax.errors import UserError
from endodav_jax.fields import Size, spelled


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Depth from a live source, frame by frame.

    Attributes:
      output: folder for outputs; without it, only latency is shown.
      weights: a converted checkpoint (see: endodav convert --help); empty for shipped-mixed, our own.
      raw_size: the pipe carries raw RGB24 pixels of this height and width, without a container.
      raw: the same as width and height (640x480), as in other programs.
      grayscale: the same as --cmap gray.
    """

    stream: tyro.conf.OmitArgPrefixes[StreamConfig]
    output: Annotated[Path | None, spelled("-o", "--output-dir", metavar="FOLDER")] = None
    weights: str = ""
    raw_size: Annotated[tuple[int, int] | None, Size] = None
    raw: Annotated[str, spelled(metavar="WxH")] = ""
    grayscale: bool = False


def run(command: Command) -> int:
    """Runs `endodav stream` and returns its exit code."""
    config = dataclasses.replace(command.stream, cmap="gray") if command.grayscale else command.stream
    if command.raw_size and command.raw:
        raise UserError("--raw: --raw-size is also given; name one of them")
    raw_size = command.raw_size or _height_width(command.raw)
    from endodav_jax.depth_video.stream import stream

    return stream(config, command.output, command.weights, raw_size)


def _height_width(text: str) -> tuple[int, int] | None:
    """Returns (height, width) for `WxH`, or None if empty."""
    if not text:
        return None
    match = re.fullmatch(r"([1-9]\d*)[xX]([1-9]\d*)", text)
    if match is None:
        raise UserError(f"--raw {text}: not a size such as 640x480, width and height")
    return int(match[2]), int(match[1])
