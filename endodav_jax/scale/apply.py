"""The scale of a clip from the requested source."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from endodav_jax.choices import Stereo
from endodav_jax.data.sources.trajectories import poses_as_written
from endodav_jax.errors import UserError
from endodav_jax.scale.estimate import Scale, one_scale
from endodav_jax.scale.request import ScaleRequest
from endodav_jax.scale.sources import (
    FEWEST_POINTS,
    ScaleFrame,
    check_pixels,
    check_points,
    ratios_of_length,
    ratios_of_points,
    ratios_of_poses,
    read_points,
    read_poses,
)
from endodav_jax.scale.stereo import FRAMES, StereoMatcher, StereoRig, ratios_of_stereo, read_calibration
from endodav_jax.video.camera_files import read_pinhole
from endodav_jax.video.reader import FrameReader

OTHER_EYE: dict[Stereo, Stereo] = {"top": "bottom", "left": "right", "bottom": "top", "right": "left"}


@runtime_checkable
class ScaleSettings(Protocol):
    """The scale options in the configurations of `infer` and `reconstruct`."""

    @property
    def scale(self) -> tuple[str, ...]: ...
    @property
    def stereo(self) -> Stereo: ...
    @property
    def intrinsics(self) -> str: ...
    @property
    def baseline(self) -> float: ...
    @property
    def calibration(self) -> str: ...


def check_scale(request: ScaleRequest | None, config: ScaleSettings, reader: FrameReader) -> StereoRig | None:
    """Checks everything that can be checked up front, and returns the cameras of a stereo recording.

    Raises:
      UserError: a file cannot be read, a pixel is outside the frame, the position of the view or the distance between
        the cameras is not given, or the cameras are not side by side.
    """
    if (request is None or request.kind != "stereo") and (config.baseline or config.calibration):
        raise UserError("--baseline and --calibration: require --scale stereo")
    if request is None:
        return None
    if request.kind == "points":
        check_points(request.file, reader.full_size)
    if request.kind == "poses":
        poses_as_written(request.file)
    if request.length is not None:
        check_pixels(request.length, reader.full_size)
        if reader.max_len and not reader.thinned and request.length.frame >= reader.max_len:
            raise UserError(
                f"--scale length: frame {request.length.frame} is not among the {reader.max_len} that are read; name "
                "one of those, counted from 0"
            )
    if request.kind != "stereo":
        return None
    if config.stereo == "none":
        raise UserError("--scale stereo: tell where the left view is: --stereo top or --stereo left")
    if config.calibration:
        rig = read_calibration(Path(config.calibration), reader.full_size)
    elif config.baseline and config.intrinsics:
        intrinsics = read_pinhole(config.intrinsics, reader.full_size, reader.full_size)
        rig = StereoRig.rectified(intrinsics, config.baseline, reader.full_size)
    else:
        raise UserError("--scale stereo: give --calibration FILE, or --baseline MM with --intrinsics")
    rig = rig if config.stereo in ("top", "left") else rig.swapped()
    StereoMatcher(rig)  # refuses cameras that are not side by side
    return rig


def measured_scale(
    request: ScaleRequest,
    rig: StereoRig | None,
    frames: Callable[[], Iterator[ScaleFrame]],
    indices: list[int],
    reader: FrameReader,
    intrinsics: np.ndarray | None,
) -> Scale:
    """Returns the factor of a clip.

    Args:
      request: the source of the scale.
      rig: as `check_scale` returned it.
      frames: yields the clip's frames with their depth from the start on every call.
      indices: their numbers.
      reader: their reader.
      intrinsics: [4] of the frames; None, which `poses` and `length` cannot use, if not known.

    Raises:
      UserError: the source does not fit the clip, or does not determine its scale.
    """
    match request.kind:
        case "points":
            points = read_points(request.file)
            strange = sorted(set(points) - set(indices))
            if strange and len(strange) == len(points):
                raise UserError(
                    f"--scale {request.words}: has points for frame {strange[0]} and others, none in this clip"
                )
            return one_scale(ratios_of_points(frames(), points, reader.scale), request.words, fewest=4)
        case "poses":
            assert intrinsics is not None
            poses = read_poses(request.file, indices, reader.source.count)
            ratios = ratios_of_poses(frames(), poses, intrinsics)
            if not ratios:
                raise UserError(
                    f"--scale {request.words}: fewer than {FEWEST_POINTS} points are seen from positions far apart; "
                    "the camera hardly moves, or these are not its poses (camera to world, mm)"
                )
            return one_scale(ratios, request.words)
        case "length":
            assert intrinsics is not None
            assert request.length is not None
            return one_scale(ratios_of_length(frames(), request.length, intrinsics, reader.scale), request.words, 1)
    assert rig is not None  # returned by `check_scale`
    return one_scale(ratios_of_stereo(_both_eyes(frames, len(indices), reader), rig), request.words)


def _both_eyes(frames: Callable[[], Iterator[ScaleFrame]], count: int, reader: FrameReader) -> Iterator[tuple]:
    """Yields (number, this view, the other, depth) for some frames, with views at full size."""
    step = max(1, count // FRAMES)
    readers = [
        FrameReader(
            reader.source,
            stereo=eye,
            max_len=reader.max_len,
            target_fps=float(reader.fps) if reader.thinned else 0,
        )
        for eye in (reader.stereo, OTHER_EYE[reader.stereo])
    ]
    for number, (frame, this, other) in enumerate(zip(frames(), *readers, strict=False)):
        if number % step == 0:
            yield frame.index, this.rgb, other.rgb, frame.depth
