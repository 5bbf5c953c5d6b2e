"""`endodav reconstruct`: depth, path, scale, surface and report of a clip, in successive passes."""

import collections
import contextlib
import dataclasses
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from endodav_jax.depth_video.description import units_of, write_description
from endodav_jax.depth_video.weights import load_networks
from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from endodav_jax.files import make_folder, moved_together, refuse_existing, remove
from endodav_jax.progress import progress_bar
from endodav_jax.reconstruction.clip import LEAST_PARALLAX, PARALLAX_STEP, CameraPath, track_clip
from endodav_jax.reconstruction.confidence import OFFSETS, SHIPPED, ConfidenceModel
from endodav_jax.reconstruction.config import ReconstructConfig
from endodav_jax.reconstruction.followed import FollowedPoints
from endodav_jax.reconstruction.fusion import fuse_clip
from endodav_jax.reconstruction.layout import Layout, lost_ranges, write_cameras, write_trajectories
from endodav_jax.reconstruction.network_clip import NetworkClip, find_instruments, network_motions
from endodav_jax.reconstruction.outputs import SceneWriter
from endodav_jax.reconstruction.refine import refined_path
from endodav_jax.reconstruction.report import write_scene_report
from endodav_jax.reconstruction.scaled import Frames, scaled
from endodav_jax.reconstruction.steady import SteadyDepth
from endodav_jax.reconstruction.surface import Mesh, extract_mesh, need_reconstruct, write_glb, write_ply, write_points
from endodav_jax.reconstruction.tracker import TrackingRules
from endodav_jax.scale.apply import check_scale, measured_scale
from endodav_jax.scale.estimate import Scale, metric_weights
from endodav_jax.scale.request import ScaleRequest, read_request
from endodav_jax.version import __version__
from endodav_jax.video.camera_files import read_camera
from endodav_jax.video.encoder import mp4_writer
from endodav_jax.video.image_files import ImageSequence
from endodav_jax.video.reader import FrameReader, open_source
from endodav_jax.video.undistort import Undistorter
from endodav_jax.video.undistorted_reader import UndistortedReader
from endodav_jax.video.view_mask import find_view

MANY_REPEATED = 0.3  # of the frames, above which that is said
UP_TO_SCALE = "up to scale"


@dataclasses.dataclass(frozen=True)
class Scene:
    """The results of a run, for its description and its report.

    Attributes:
      config: the configuration.
      path: camera path, in the depth's unit.
      camera: source of the intrinsics, human-readable.
      scale: of the depth's unit; None if not known.
      meshes: of the pieces, the longest first, in the scene's unit.
      voxels: voxel size of each, in the scene's unit.
      bytes: peak memory of the surfaces.
      seconds: time per stage.
      frames: number of frames.
      repeats: a warning if many frames repeat the one before; empty otherwise.
      steadied: what was steadied, or what was left as it was; None if depth is the network's.
    """

    config: ReconstructConfig
    path: CameraPath
    camera: str
    scale: Scale | None
    meshes: list[Mesh]
    voxels: list[float]
    bytes: int
    seconds: dict[str, float]
    frames: int
    repeats: str = ""
    steadied: str | None = None

    @property
    def unit(self) -> str:
        """Of lengths."""
        return "mm" if self.scale else UP_TO_SCALE

    @property
    def factor(self) -> float:
        """Factor from the depth's unit to the scene's."""
        return self.scale.factor if self.scale else 1.0

    @property
    def rotates_only(self) -> bool:
        """Whether the camera is known to have hardly moved."""
        return self.path.parallax < LEAST_PARALLAX


def reconstruct(config: ReconstructConfig, folder: Path, weights: str = "") -> int:
    """Checks everything that can be checked up front, then reconstructs.

    Args:
      config: what to read and how.
      folder: folder for outputs; see `layout`.
      weights: a checkpoint; empty for `shipped-mixed` (reported).

    Returns:
      `EXIT_OK`, or `EXIT_SOME_FAILED` if reading stopped early and the frames before were used.

    Raises:
      UserError: invalid input or weights, a scale that does not fit, or an output that cannot be written.
    """
    if not config.input:
        raise UserError("INPUT: none given; name a video, or a folder or pattern of images")
    need_reconstruct()
    reader = FrameReader(
        open_source(config.input, config.reading),
        stereo=config.stereo,
        max_len=config.max_len,
        target_fps=config.target_fps,
        max_res=config.max_res,
    )
    if reader.count == 1:
        raise UserError(f"{config.input}: is a single frame; a reconstruction needs a camera that moves")
    layout = Layout(folder, reader.source.stem)
    for file in () if config.overwrite else layout.fixed():
        refuse_existing(file)
    request = read_request(config.scale)
    rig = check_scale(request, config, reader)
    inside, view_notes = find_view(reader, config.mask)
    if not config.quiet:
        for note in view_notes:
            print(f"{reader.source.name}: {note}", file=sys.stderr)
    instruments = find_instruments(config.instruments, reader)
    given = None
    if config.intrinsics:
        reader, given, inside = _pinhole(config, request, reader, inside)
    make_folder(folder)
    estimator, params, card = load_networks(weights, config)
    _check_motion(config, weights, params, given)
    clock = _Clock()
    with contextlib.ExitStack() as files:
        # All of them get their names at the end: one that was written before would stand in the way of another try.
        staging = files.enter_context(moved_together(folder, layout.stem, layout.meta.name))
        unfinished = Layout(staging, layout.stem)
        clip = NetworkClip(reader, inside, instruments, folder, files)
        with (
            mp4_writer(unfinished.source, reader.fps) as copy,
            progress_bar(reader.count, "depth", config.quiet) as bar,
        ):
            clip.infer(estimator, config.windows, copy, bar.update)
        count = len(clip.indices)
        if count < 2:
            raise UserError(f"{config.input}: is a single frame; a reconstruction needs a camera that moves")
        clock.lap("depth")
        motions, learned = None, None
        if config.motion == "network" or given is None:
            motions, learned = network_motions(params, reader, count, clip.inside)
            clock.lap("pose network")
        intrinsics = learned if given is None else given
        assert intrinsics is not None  # ensured by `_check_motion`
        camera = "learned" if given is None else f"given: {config.intrinsics}"
        with progress_bar(count, "camera", config.quiet) as bar:
            rules = TrackingRules(scale_sigma=config.free_scale)
            guesses = motions if config.motion == "network" else None
            points = FollowedPoints()
            path = refined_path(track_clip(clip, intrinsics, rules, guesses, bar.update, points), points)
        _check_tracked(config, path)
        clock.lap("camera")
        steadied = None
        if config.steady:
            steady = SteadyDepth(path, points, known_lens=given is not None)
            path = steady.left(path, clip.correct(steady, files))
            steadied = steady.note or "every frame"
            clock.lap("steadying")
        scale = metric_weights() if estimator.config.metric else None
        if request is not None:

            def measured(frames: Frames) -> Scale:
                return measured_scale(request, rig, frames, clip.indices, reader, intrinsics)

            scale, path = scaled(clip, path, measured)
            clock.lap("scale")
        factor = scale.factor if scale else 1.0
        writer = files.enter_context(SceneWriter(unfinished, clip, config))
        with progress_bar(count, "surface", config.quiet) as bar:

            def on_frame(view, tracked, error):
                writer(view, tracked, error)
                bar.update()

            fused = fuse_clip(
                clip, path, ConfidenceModel.shipped(config.steady), voxel=config.voxel / factor,
                most_bytes=int(config.memory * 1e9), on_frame=on_frame,
            )  # fmt: skip
        clock.lap("surface")
        meshes = [extract_mesh(volume).scaled(factor) for volume in fused.values()]
        clock.lap("mesh")
        writer.finish(intrinsics, scale)
        volumes = list(fused.values())
        scene = Scene(
            config, path, camera, scale, meshes, [volume.voxel * factor for volume in volumes],
            sum(volume.bytes for volume in volumes), clock.laps, count, _repeats(clip), steadied,
        )  # fmt: skip
        _write(unfinished, scene, clip, writer, weights, card, [volume.coarsened for volume in volumes])
    for rank, mesh in enumerate(scene.meshes):
        if mesh.empty:
            remove(layout.gltf(rank))  # of an earlier run
    for rank in range(len(scene.meshes), len(layout.pieces())):  # of an earlier run that had more
        remove(layout.piece(rank))
    _say(scene, layout)
    if clip.stopped is not None:
        print(f"endodav reconstruct: {clip.stopped}; the {count} frames before this were used", file=sys.stderr)
        return EXIT_SOME_FAILED
    return EXIT_OK


def _pinhole(
    config: ReconstructConfig, request: ScaleRequest | None, reader: FrameReader, inside: np.ndarray | None
) -> tuple[FrameReader, np.ndarray, np.ndarray | None]:
    """The given camera's frames, intrinsics and view; a lens that distorts is resampled to a pinhole, which is said.

    Raises:
      UserError: no such camera, or one that distorts and a scale that is told in its pixels.
    """
    lens = read_camera(config.intrinsics, reader.full_size, reader.size)
    if not lens.distorted:
        return reader, np.asarray(lens.intrinsics, np.float64), inside
    if request is not None and request.kind != "poses":
        raise UserError(
            f"--scale {request.kind}: is told in pixels of a lens that distorts ({config.intrinsics}); undistort the "
            "recording (cv2.undistort) and give the camera that it then has, or take --scale poses"
        )
    undistorter = Undistorter.of(lens, reader.size)
    if not config.quiet:
        print(undistorter.loss_line(inside))
    return UndistortedReader(reader, undistorter), undistorter.pinhole, undistorter.mask(inside)


def _check_tracked(config: ReconstructConfig, path: CameraPath) -> None:
    """Raises `UserError` if the camera was lost in every frame."""
    if not path.pieces:
        (reason, _) = collections.Counter(frame.reason for frame in path.frames).most_common(1)[0]
        raise UserError(
            f"{config.input}: the camera was lost in all {len(path.frames)} frames ({reason}), so there is no surface; "
            "check --intrinsics and --mask, or take a part of the recording that is in focus"
        )


def _repeats(clip: NetworkClip) -> str:
    count = len(clip.indices)
    if clip.repeated < MANY_REPEATED * count:
        return ""
    rate = float(clip.reader.fps) * (1 - clip.repeated / count)
    cure = "leave them out" if isinstance(clip.reader.source, ImageSequence) else f"pass --target-fps {rate:.2g}"
    return f"{clip.repeated} of {count} frames repeat the one before, which says nothing about depth; {cure}"


def _check_motion(config: ReconstructConfig, weights: str, params: dict[str, dict], given: np.ndarray | None) -> None:
    if config.motion == "network" and "pose" not in params:
        raise UserError(
            f"--weights {weights}: no motion network in it; give the folder of a training run, or pass --motion none"
        )
    if given is None and not {"pose", "intrinsics"} <= set(params):
        raise UserError("--intrinsics: none given, and the weights have learned none; give FX,FY,CX,CY or a file")


def _write(layout: Layout, scene: Scene, clip: NetworkClip, writer: SceneWriter, weights: str, card, coarsened) -> None:
    for rank, mesh in enumerate(scene.meshes):
        write_ply(layout.mesh(rank), mesh, scene.unit)
        write_points(layout.points(rank), mesh, scene.unit)
        if not mesh.empty:  # which glTF cannot say
            write_glb(layout.gltf(rank), mesh, 1e-3 if scene.scale else 1.0)
    write_trajectories(layout, scene.path, scene.factor, scene.unit)
    write_cameras(layout.cameras, scene.path, clip.reader.size, scene.factor, scene.unit)
    write_description(layout.meta, _described(scene, clip, weights, card, coarsened))
    write_scene_report(layout.report, scene, writer.shown)


def _described(scene: Scene, clip: NetworkClip, weights: str, card, coarsened: list[int]) -> dict:
    pieces = [
        {
            "frames": len(scene.path.of_piece(piece)),
            "path_length": scene.path.length(piece) * scene.factor,
            "keyframes": sum(frame.keyframe for frame in scene.path.of_piece(piece)),
            "vertices": len(mesh.vertices),
            "voxel": voxel,
            "voxels_merged": times,
        }
        for piece, mesh, voxel, times in zip(scene.path.pieces, scene.meshes, scene.voxels, coarsened, strict=False)
    ]
    return {
        "program": f"endodav_jax {__version__}",
        "packages": {name: version(name) for name in ("jax", "flax", "numpy", "scikit-image", "trimesh")},
        "weights": weights,
        "card": card,
        "settings": scene.config,
        "input": {"name": clip.reader.source.name, "size": list(clip.reader.source.size)},
        "frames": scene.frames,
        "frames_repeated": clip.repeated,
        "complete": clip.stopped is None,
        "stopped": str(clip.stopped) if clip.stopped else None,
        "size": list(clip.reader.size),
        "fps": float(clip.reader.fps),
        "unit": scene.unit,
        "scale": scene.scale.described() if scene.scale else UP_TO_SCALE,
        "output": clip.model.output,
        "units": units_of(clip.model, scene.scale is not None)
        | {
            "expected_errors": "expected relative error of depth, |depth - truth| / truth "
            + ("of depths_mm" if scene.scale else "after the best scale of the clip")
            + "; float32, 2 where there is no depth",
        },
        "intrinsics": {"fx_fy_cx_cy": scene.path.intrinsics, "origin": scene.camera, "of": "the frames written here"},
        "undistorted": clip.reader.undistorter.to_json() if isinstance(clip.reader, UndistortedReader) else None,
        "parallax": {
            "pixels": scene.path.parallax,
            "of": f"the clip's largest over {min(PARALLAX_STEP, scene.frames)} frames; below {LEAST_PARALLAX:g} the "
            "camera only turned",
        },
        "pieces": pieces,
        "lost": [{"frame": frame.index, "why": frame.reason} for frame in scene.path.lost()],
        "steadied": scene.steadied,
        "confidence": {
            "neighbours": list(OFFSETS),
            "model": f"reconstruction/{SHIPPED[scene.config.steady]}, fitted on phantoms",
        },
        "surface_bytes": scene.bytes,
        "seconds": scene.seconds,
    }


def _say(scene: Scene, layout: Layout) -> None:
    """Prints the summary; problems are reported even in quiet mode."""
    lost = [frame.index for frame in scene.path.lost()]
    if lost:
        print(f"endodav reconstruct: lost the camera in frames {lost_ranges(lost)}", file=sys.stderr)
    if len(scene.path.pieces) > 1:
        print(f"endodav reconstruct: {len(scene.path.pieces)} pieces, each with its own world", file=sys.stderr)
    for rank, (mesh, voxel) in enumerate(zip(scene.meshes, scene.voxels, strict=True)):
        if mesh.empty:
            print(
                f"endodav reconstruct: {layout.mesh(rank)}: no surface was found with voxels of {voxel:.3g} "
                f"({scene.unit}); check --voxel and --intrinsics, or take a longer part of the recording",
                file=sys.stderr,
            )
    if scene.repeats:
        print(f"endodav reconstruct: {scene.repeats}", file=sys.stderr)
    if scene.rotates_only:
        print(
            f"endodav reconstruct: the camera only rotates (parallax {scene.path.parallax:.2f} px over "
            f"{min(PARALLAX_STEP, scene.frames)} frames); the surface shows only the network's depth",
            file=sys.stderr,
        )
    if scene.config.quiet:
        return
    seconds = sum(scene.seconds.values())
    if scene.steadied:
        print(f"steadied along the camera's path: {scene.steadied}")
    print(scene.scale.line() if scene.scale else "scale: not known; everything is up to scale")
    for rank, (mesh, voxel) in enumerate(zip(scene.meshes, scene.voxels, strict=True)):
        print(f"{layout.mesh(rank)}: {len(mesh.vertices)} vertices, voxels of {voxel:.3g} ({scene.unit})")
    print(
        f"{layout.folder}: {scene.frames} frames, {scene.frames / seconds:.2f} frames/s; surface "
        f"{scene.bytes / 1e6:.0f} MB; open {layout.report.name}"
    )


class _Clock:
    """Times the stages of a run."""

    def __init__(self):
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = now - self._last, now
