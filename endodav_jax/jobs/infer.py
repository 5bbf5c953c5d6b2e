"""`endodav infer`: depth from a video, a folder or pattern of images, or a single image."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from endodav_jax.depth_video.config import InferConfig
from endodav_jax.errors import UserError
from endodav_jax.fields import positional, spelled

if TYPE_CHECKING:
    from endodav_jax.config import Config
    from endodav_jax.depth_video.passes import SteadyOf


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherSpellings:
    """Option names of Video-Depth-Anything.

    Attributes:
      input_video: the same as INPUT.
      metric: the same as --output-kind metric_depth.
      fp32: the same as --precision float32.
      grayscale: the same as --cmap gray.
      save_npz: the same as npz in --save.
      save_exr: the same as exr in --save.
      focal_length_x: horizontal focal length in pixels of the source, in place of --intrinsics; the principal point is
        the centre of the frame.
      focal_length_y: vertical focal length, likewise.
    """

    input_video: Annotated[str, spelled("-i", "--input", metavar="INPUT")] = ""
    metric: bool = False
    fp32: bool = False
    grayscale: bool = False
    save_npz: bool = False
    save_exr: bool = False
    focal_length_x: float | None = None
    focal_length_y: float | None = None

    def told(self, config: InferConfig) -> InferConfig:
        """Returns a configuration with these options set in its own fields."""
        save = (*config.save, *(("npz",) if self.save_npz else ()), *(("exr",) if self.save_exr else ()))
        if config.intrinsics and (self.focal_length_x, self.focal_length_y) != (None, None):
            raise UserError("--focal-length-x and -y: --intrinsics is also given; name one of them")
        focal = [value for value in (self.focal_length_x, self.focal_length_y) if value is not None]
        return dataclasses.replace(
            config,
            input=config.input or self.input_video,
            output_kind="metric_depth" if self.metric else config.output_kind,
            precision="float32" if self.fp32 else config.precision,
            cmap="gray" if self.grayscale else config.cmap,
            save=tuple(dict.fromkeys(save)),
            intrinsics=config.intrinsics or (f"{focal[0]},{focal[-1]}" if focal else ""),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Depth from a video, a folder or pattern of images, a single image, or many of these.

    Attributes:
      output: folder for outputs; with many recordings, each gets its own subfolder, named after it.
      weights: a converted checkpoint (see: endodav convert --help); empty for shipped-mixed, our own.
      inputs: videos, DICOM files, folders of images, images, glob patterns (`'cases/*.mts'`), folders of recordings.
      list_file: a text file with further inputs, one per line.
      shard: I/N with I from 1 to N: process every N-th recording, starting with the I-th, for job arrays.
    """

    output: Annotated[Path, spelled("-o", "--output-dir", metavar="FOLDER")]
    weights: str = ""
    infer: tyro.conf.OmitArgPrefixes[InferConfig] = InferConfig()
    inputs: Annotated[tuple[str, ...], *positional("INPUT")] = ()
    list_file: Annotated[Path | None, spelled("--from", metavar="LIST.txt")] = None
    shard: Annotated[str, spelled(metavar="I/N")] = ""
    other: tyro.conf.OmitArgPrefixes[OtherSpellings] = OtherSpellings()


def run(command: Command) -> int:
    """Runs `endodav infer` and returns its exit code."""
    config = command.other.told(command.infer)
    inputs = list(command.inputs)
    if command.other.input_video and inputs:
        raise UserError(f"--input {command.other.input_video}: {inputs[0]} is also given; name one input")
    inputs += [command.other.input_video] if command.other.input_video else []
    from endodav_jax.depth_video.recordings import find_recordings, read_list

    if command.list_file is not None:
        inputs += read_list(command.list_file)
    if not inputs:
        raise UserError("INPUT: none given; name a video, a folder or pattern of images, or an image")
    many = len(inputs) > 1 or command.list_file is not None or bool(command.shard)
    recordings = find_recordings(inputs)
    from endodav_jax.depth_video.many import infer_many
    from endodav_jax.depth_video.run import infer

    if not many and len(recordings.found) == 1:
        (recording,) = recordings.found
        if recording.fault:
            raise UserError(f"{recording.input}: {recording.fault}")
        if not config.quiet:
            for note in recordings.notes:
                print(f"endodav infer: {note}", file=sys.stderr)
        config = dataclasses.replace(config, input=recording.input)
        return infer(config, command.output, command.weights, _steady_of(config))
    return infer_many(config, recordings.shard(command.shard), command.output, command.weights, _steady_of(config))


def run_config(config: "Config", workdir: Path) -> int:
    """Runs the `infer` section of a configuration with its `weights`; outputs go to `workdir`."""
    if not config.infer.input:
        raise UserError("config.infer.input: empty; name a video, a folder or pattern of images, or an image")
    from endodav_jax.depth_video.run import infer

    return infer(config.infer, workdir, config.weights, _steady_of(config.infer))


def _steady_of(config: InferConfig) -> "SteadyOf | None":
    if not config.steady:
        return None
    from endodav_jax.reconstruction.steady import steady_clip

    return steady_clip
