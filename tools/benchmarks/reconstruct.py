"""Reconstruction: how good and how fast on phantoms, and whether memory grows with a clip's length.

    python tools/benchmark.py reconstruct --family colon --sequences 2 --frames 100
    python tools/benchmark.py reconstruct --recording FOLDER
    python tools/benchmark.py reconstruct --memory 300 1000

For each sequence a line each for true depth, and for the network's depth with the pose network's chained motion (of all
frames, and of those that the refined path has), the path tracked against that depth, the same adjusted to followed
points (what `endodav reconstruct` gives), the same with depth steadied along it (`--steady`), and the true poses: ATE
over the path's length, drift of scale (standard deviation of log step lengths), length that the path has over the one
it should have if depth is right in the median (`length_over_depth`), and the median distance of the surface's vertices
from the true surface.  Paths and surfaces of the network's depth are brought to the best scale first.

Of a recording, which has sparse points and no true surface, the paths, and how confidence ranks errors at the points.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np
from benchmarks import _machine, _options
from benchmarks._recording_parts import confidence_line, path_about_points, recorded_clip

from endodav_jax.checkpoints import load_model
from endodav_jax.data.phantom import PhantomConfig, draw_scene, render_sequence
from endodav_jax.data.phantom.families import FAMILIES
from endodav_jax.data.phantom.trace import field_and_gradient
from endodav_jax.geometry.poses import inverse_rigid
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.reconstruction.clip import CameraPath, chained_path, given_path, track_clip
from endodav_jax.reconstruction.followed import FollowedPoints
from endodav_jax.reconstruction.fusion import fuse_clip
from endodav_jax.reconstruction.known_clip import KnownClip, steadied
from endodav_jax.reconstruction.measures import clip_scale, path_errors
from endodav_jax.reconstruction.surface import extract_mesh

HELP = "path, surface, speed and memory of a reconstruction, on phantoms"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments."""
    add = parser.add_argument
    add("--family", choices=FAMILIES, nargs="+", default=["colon"])
    add("--sequences", type=_options.at_least(1), default=2, help="of each family")
    add("--paths-only", action="store_true", help="no surfaces, and no run with the true depth")
    add("--frames", type=_options.at_least(2), default=100)
    add("--seed", type=int, default=5)
    add("--size", type=int, nargs=2, default=(96, 128), metavar=("HEIGHT", "WIDTH"))
    add("--weights", default="shipped")
    add("--recording", type=Path, nargs="+", default=(), metavar="FOLDER", help="frames with geometry.npz, no phantoms")
    add(
        "--memory",
        type=_options.at_least(2),
        nargs="+",
        default=(),
        metavar="FRAMES",
        help="peak memory at these lengths, no more",
    )
    add("--json", type=_options.figures_file, help="write the figures there, too")


def run_arguments(args: argparse.Namespace) -> None:
    """Measures and prints a line of JSON for each sequence or length."""
    lines = list(_memory(args) if args.memory else _quality(args))
    _options.write_figures({"machine": _machine.describe(), "lines": lines}, args.json)


def _quality(args):
    config, params, _ = load_model(args.weights)
    estimator = DepthEstimator(config, params["depth"])
    lines = (
        (_recording(folder, estimator, params) for folder in args.recording)
        if args.recording
        else (
            _rendered(args, _phantom(args, family, args.frames), number, estimator, params)
            for family in args.family
            for number in range(args.sequences)
        )
    )
    for line in lines:
        print(json.dumps(line), flush=True)
        yield line


def _recording(folder: Path, estimator, params) -> dict:
    clip = recorded_clip(folder)
    views, motions = clip.inferred(estimator, params)
    paths, _ = _paths(clip, views, motions)
    paths["refined, scale points"] = path_about_points(clip, views, paths["refined"])
    confidence = {name: confidence_line(clip, views, paths[name]) for name in ("refined", "refined, scale points")}
    return {"recording": folder.name, "confidence": confidence} | _lines(clip, views, paths, None)


def _rendered(args, phantom: PhantomConfig, number: int, estimator, params) -> dict:
    clip = KnownClip(list(render_sequence(phantom, number)))
    scene = None if args.paths_only else draw_scene(phantom, number)
    line = {"sequence": f"{phantom.family} {number}"}
    if scene is not None:
        started = time.perf_counter()
        true_views = clip.true_views()
        path = track_clip(lambda: iter(true_views), clip.intrinsics)
        line["true depth"] = _line(clip, true_views, path, scene, 1.0)
        line["true depth"]["frames_a_second"] = args.frames / (time.perf_counter() - started)
    views, motions = clip.inferred(estimator, params)
    paths, points = _paths(clip, views, motions)
    corrected, about = steadied(views, paths["refined"], points)
    unit = clip_scale([view.depth for view in corrected], clip.depths)
    return line | _lines(clip, views, paths, scene) | {"refined, steadied": _line(clip, corrected, about, scene, unit)}


def _paths(clip: KnownClip, views: list, motions: list) -> tuple[dict[str, CameraPath], FollowedPoints]:
    """The paths to compare, in the unit of the network's depth, and the points that the refined one was adjusted to."""
    poses = inverse_rigid(inverse_rigid(clip.world_from_cam[0]) @ clip.world_from_cam)
    poses[:, :3, 3] /= clip_scale([view.depth for view in views], clip.depths)
    tracked, refined, points = clip.tracked(views, motions)
    paths = {
        "chained": chained_path(lambda: iter(views), clip.intrinsics, motions),
        "tracked": tracked,
        "refined": refined,
        "true poses": given_path(lambda: iter(views), clip.intrinsics, list(poses)),
    }
    return paths, points


def _lines(clip: KnownClip, views: list, paths: dict[str, CameraPath], scene) -> dict:
    unit = clip_scale([view.depth for view in views], clip.depths)
    restricted = _restricted(paths["chained"], paths["refined"])
    line = {"chained, refined's frames": _line(clip, views, restricted, None, unit)}
    return line | {name: _line(clip, views, found, scene, unit) for name, found in paths.items()}


def _restricted(path: CameraPath, other: CameraPath) -> CameraPath:
    """The frames of the other's longest piece alone."""
    kept = {frame.index for frame in other.of_piece(other.pieces[0])}
    return dataclasses.replace(path, frames=tuple(frame for frame in path.frames if frame.index in kept))


def _line(clip: KnownClip, views: list, path: CameraPath, scene, unit: float) -> dict:
    piece = path.pieces[0]
    numbers = [frame.index for frame in path.of_piece(piece)]
    truth = clip.world_from_cam[numbers]
    errors = path_errors(path.world_from_cam(piece)[:, :3, 3], truth[:, :3, 3], free_scale=unit != 1.0)
    line = {
        "frames": len(numbers),
        "pieces": len(path.pieces),
        "ate_percent_of_path": round(100 * errors.share, 3),
        "scale_drift": round(errors.scale_drift, 4),
        "length_over_depth": round(unit / errors.scale, 4),
    }
    if scene is None:
        return line
    mesh = extract_mesh(fuse_clip(lambda: iter(views), path)[piece])
    into = truth[0]
    vertices = (mesh.vertices * unit @ into[:3, :3].T + into[:3, 3]).astype(np.float32)
    value, gradient = jax.jit(lambda points: field_and_gradient(scene.shape.field, points))(tuple(vertices.T))
    off = np.abs(value) / np.maximum(np.linalg.norm(gradient, axis=0), 0.2)
    return line | {"surface_median_mm": round(float(np.median(off)), 3)}


def _memory(args):
    """Peak memory after each length, the shorter first: what later lengths add is what grows."""
    for frames in sorted(args.memory):
        phantom = _phantom(args, args.family[0], frames)

        def clip(phantom=phantom):
            for frame in render_sequence(phantom, 0):
                single = KnownClip([frame])
                (view,) = single.true_views()
                yield type(view)(frame["frame_index"], view.rgb, view.depth, view.inside)

        started = time.perf_counter()
        intrinsics = next(render_sequence(phantom, 0))["intrinsics"]
        path = track_clip(clip, intrinsics)
        volumes = fuse_clip(clip, path)
        seconds = time.perf_counter() - started
        line = {
            "frames": frames,
            "frames_a_second": frames / seconds,
            "surface_mb": sum(volume.bytes for volume in volumes.values()) / 1e6,
            **_machine.peak_memory(),
        }
        print(json.dumps(line), flush=True)
        yield line


def _phantom(args, family: str, frames: int) -> PhantomConfig:
    return _options.phantom(family, seed=args.seed, sequences=8, frames=frames, height=args.size[0], width=args.size[1])
