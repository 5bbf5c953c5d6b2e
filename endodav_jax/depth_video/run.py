"""Depth from a video: checks, the network, the outputs and their description."""

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from endodav_jax.depth_video.config import InferConfig
from endodav_jax.depth_video.description import describe, write_description
from endodav_jax.depth_video.outputs import Camera, check_outputs, output_paths, output_stem
from endodav_jax.depth_video.passes import SteadyOf, write_depth
from endodav_jax.depth_video.weights import NamedWeights, load_estimator
from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from endodav_jax.files import remove
from endodav_jax.scale.apply import check_scale, measured_scale
from endodav_jax.scale.request import read_request
from endodav_jax.video.camera_files import read_camera
from endodav_jax.video.depth_files import need_exr
from endodav_jax.video.frame_masks import FrameMasks, masks_beside
from endodav_jax.video.frames import ReadingStopped
from endodav_jax.video.image_files import ImageSequence
from endodav_jax.video.intrinsics import GUESSED_FOCAL, guessed_intrinsics
from endodav_jax.video.reader import FrameReader, open_source
from endodav_jax.video.view_mask import find_view


@dataclasses.dataclass(frozen=True)
class Done:
    """What was written for one recording.

    Attributes:
      folder: the output folder.
      frames: number of frames.
      seconds: time for inference.
      stopped: why reading ended early, or None.
      names: names of the outputs.
    """

    folder: Path
    frames: int
    seconds: float
    stopped: ReadingStopped | None
    names: tuple[str, ...]


def infer(config: InferConfig, folder: Path, weights: str = "", steady_of: SteadyOf | None = None) -> int:
    """Checks everything that can be checked up front, then loads the network, then processes the video.

    Args:
      config: what to read, how to infer and what to write.
      folder: folder for outputs.
      weights: a checkpoint, or published weights; empty for the network shipped with the package (reported).
      steady_of: for `config.steady`; see `passes.write_depth`.

    Returns:
      `EXIT_OK`, or `EXIT_SOME_FAILED` if reading stopped early and the frames before were kept.

    Raises:
      UserError: invalid input or weights, or an output that cannot be written.
    """
    done = infer_recording(
        config,
        folder,
        NamedWeights.of(weights),
        lambda: load_estimator(weights, config),
        steady_of,
    )
    if done.stopped is not None:
        print(
            f"endodav infer: {done.stopped}; depth of the {done.frames} frames before this is in {folder}",
            file=sys.stderr,
        )
        return EXIT_SOME_FAILED
    return EXIT_OK


def infer_recording(
    config: InferConfig, folder: Path, weights: NamedWeights, load: Callable, steady_of: SteadyOf | None = None
) -> Done:
    """Writes all outputs for one recording.

    Args:
      config: see `infer`.
      folder: see `infer`.
      weights: their name and digest, for the description.
      load: returns the estimator and the card of its weights; called once everything else has been checked.
      steady_of: see `infer`.

    Raises:
      UserError: see `infer`.
    """
    if not config.input:
        raise UserError("INPUT: none given; name a video, a folder or pattern of images, or an image")
    started = time.perf_counter()
    if "exr" in config.save:
        need_exr()
    reader = FrameReader(
        open_source(config.input, config.reading),
        stereo=config.stereo,
        max_len=config.max_len,
        target_fps=config.target_fps,
        max_res=config.max_res,
    )
    paths = output_paths(folder, reader, config)
    camera = _camera(config, reader)
    if config.steady:
        assert steady_of is not None  # the upper layers know how
        _need_pinhole("--steady", config, camera)
        if reader.count == 1:
            raise UserError(f"--steady: {config.input} is a single frame; a camera's path needs a video")
    request = read_request(config.scale)
    if request is not None and request.kind in ("length", "poses"):
        if not config.intrinsics:
            raise UserError(f"--scale {request.kind}: needs the camera; give --intrinsics")
        _need_pinhole(f"--scale {request.kind}", config, camera)
    rig = check_scale(request, config, reader)
    known = camera.intrinsics if config.intrinsics else None
    new = not folder.exists()
    stem = output_stem(reader)
    before = _files_before(paths["meta"], stem)
    marker = folder / f".{stem}_unfinished"
    config = dataclasses.replace(config, overwrite=config.overwrite or marker.exists())
    inside, view_notes = find_view(reader, config.mask)
    masks = _masks(config, reader)
    check_outputs(paths, reader, config)
    measure = None
    if request is not None:

        def measure(frames, indices):
            return measured_scale(request, rig, frames, indices, reader, known)

    steady = steady_of if config.steady else None
    with _removed_on_error(folder) if new else contextlib.nullcontext(), _unfinished(marker, paths):
        estimator, card = load()
        run = write_depth(reader, estimator, paths, config, camera, inside, masks, measure, steady)
        about = describe(config, weights, card, estimator.config, reader, camera, inside, run, paths, masks)
        about["mask"]["notes"] = list(view_notes)
        about["seconds"] = {"inference": run.inference_seconds, "all": time.perf_counter() - started}
        write_description(paths["meta"], about)
        for name in before - {path.name for path in paths.values()}:  # of a run that wrote more than this one
            remove(folder / name)
    frames = len(run.indices)
    done = Done(folder, frames, run.inference_seconds, run.stopped, tuple(path.name for path in paths.values()))
    if not config.quiet:
        mask_notes = () if masks is None else masks.notes(run.indices)
        unused = ["--mask-outputs: no masks are beside it, so none of its depth is removed"] * config.mask_outputs
        for note in (*reader.source.notes, *view_notes, *mask_notes, *(unused if masks is None else [])):
            print(f"{reader.source.name}: {note}", file=sys.stderr)
        print(f"{folder}: {', '.join(done.names)}; {frames} frames, {frames / done.seconds:.2f} frames/s")
        if run.scale is not None:
            print(run.scale.line())
        if masks is not None:
            print(f"masks of the frames: {masks.path}")
        if config.steady:
            print("steadied along the camera's path" + (f"; {run.steady_note}" if run.steady_note else ""))
        if config.steady and not config.intrinsics:
            print("the lens is guessed: each frame's factor alone was corrected; give --intrinsics for its shape")
        if "ply" in paths and not config.intrinsics:
            print("points: the focal length is guessed; give --intrinsics for true proportions")
    return done


def _files_before(meta: Path, stem: str) -> set[str]:
    """Names of the outputs of an earlier run on the same recording, which `meta` describes."""
    try:
        names = {str(name) for name in json.loads(meta.read_text())["files"].values()}
        return {name for name in names if name.startswith(f"{stem}_") and Path(name).name == name}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


@contextlib.contextmanager
def _unfinished(marker: Path, paths: dict[str, Path]) -> Iterator[None]:
    """Marks outputs as unfinished until all are there, so that a later run may replace those of one that was stopped.

    Where an error leaves none of them, it leaves no mark.
    """
    marker.touch()
    try:
        yield
    except BaseException:
        if not any(path.exists() for path in paths.values()):
            marker.unlink(missing_ok=True)
        raise
    marker.unlink(missing_ok=True)


@contextlib.contextmanager
def _removed_on_error(folder: Path) -> Iterator[None]:
    """Removes the folder if an error leaves it empty."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # something is in it
            folder.rmdir()
        raise


def _need_pinhole(option: str, config: InferConfig, camera: Camera) -> None:
    if camera.lens is not None:
        raise UserError(
            f"{option}: the lens of {config.intrinsics} distorts; undistort the recording (cv2.undistort) and give the "
            "camera that it then has"
        )


def _camera(config: InferConfig, reader: FrameReader) -> Camera:
    if config.intrinsics:
        lens = read_camera(config.intrinsics, reader.full_size, reader.size)
        return Camera(lens.intrinsics, f"given: {config.intrinsics}", lens if lens.distorted else None)
    origin = f"guessed: focal length {GUESSED_FOCAL} of the longer side, centre of the frame"
    return Camera(guessed_intrinsics(reader.size, reader.pixel_aspect), origin)


def _masks(config: InferConfig, reader: FrameReader) -> FrameMasks | None:
    """The per-frame masks that were named, or that lie beside the input."""
    if config.masks == "none":
        return None
    source = reader.source
    if isinstance(source, ImageSequence):
        beside = source.paths[0].parent if len(source.paths) > 1 else None  # not for a single image
    else:
        beside = Path(config.input)
    if config.masks != "auto":
        return FrameMasks(Path(config.masks), source)
    found = None if beside is None else masks_beside(beside)
    return None if found is None else FrameMasks(found, source)
