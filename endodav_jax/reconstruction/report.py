"""The report of a reconstruction: path, drift, coverage, confidence, and the surface from three sides."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from endodav_jax.reconstruction.layout import lost_ranges
from endodav_jax.reconstruction.outputs import Shown
from endodav_jax.reconstruction.pictures import SIDES, seen_from
from endodav_jax.report import (
    Section,
    definitions,
    images,
    lines,
    paths_from_two_sides,
    table,
    text,
    write_report,
)
from endodav_jax.report.pictures import depth_picture
from endodav_jax.video.colour import MOST_ERROR, colour_table, colourise

if TYPE_CHECKING:
    from endodav_jax.reconstruction.run import Scene


def write_scene_report(path: Path, scene: "Scene", shown: Shown) -> None:
    """Writes the page.

    Raises:
      UserError: it cannot be written.
    """
    sections = [
        Section("Results", _results(scene)),
        Section("Surface", _surface(scene)),
        Section("Camera path", _path(scene)),
        Section("Drift", _drift(scene)),
        Section("Coverage and confidence", _confidence(shown)),
        Section("Settings", [definitions(dataclasses.asdict(scene.config), "Configuration")]),
    ]
    write_report(path, f"Reconstruction of {Path(scene.config.input).name}", sections)


def _results(scene: "Scene") -> list[str]:
    seconds = sum(scene.seconds.values())
    scale = scene.scale.told() if scene.scale else "not known: every length is up to scale"
    values = {
        "frames": scene.frames,
        "frames without a pose": len(scene.path.lost()),
        "scale": scale,
        "camera": f"{', '.join(f'{value:.1f}' for value in scene.path.intrinsics)} (fx, fy, cx, cy), {scene.camera}",
        "parallax": "not measured" if np.isnan(scene.path.parallax) else f"{scene.path.parallax:.2f} px",
        "depth": "the network's" if scene.steadied is None else f"steadied along the path: {scene.steadied}",
        "speed": f"{scene.frames / seconds:.2f} frames/s",
        "memory of the surface": f"{scene.bytes / 1e6:.0f} MB",
    }
    said = [definitions(values)]
    if scene.repeats:
        said.append(text(scene.repeats[0].upper() + scene.repeats[1:] + "."))
    if scene.rotates_only:
        said.append(
            text("The camera only rotates: nothing was seen from two positions, so the shape is the network's alone.")
        )
    rows = [
        [
            f"piece {rank}",
            str(len(scene.path.of_piece(piece))),
            f"{scene.path.length(piece) * scene.factor:.4g}",
            str(sum(frame.keyframe for frame in scene.path.of_piece(piece))),
            str(len(mesh.vertices)),
            f"{voxel:.3g}",
        ]
        for rank, (piece, mesh, voxel) in enumerate(
            zip(scene.path.pieces, scene.meshes, scene.voxels, strict=False), start=1
        )
    ]
    header = ("", "frames", f"path, {scene.unit}", "keyframes", "vertices", f"voxel, {scene.unit}")
    said.append(table(header, rows))
    lost = scene.path.lost()
    if lost:
        reasons: dict[str, list[int]] = {}
        for frame in lost:
            reasons.setdefault(frame.reason, []).append(frame.index)
        said.append(table(("frames lost", "why"), [[lost_ranges(found), why] for why, found in reasons.items()]))
    return said


def _surface(scene: "Scene") -> list[str]:
    rows, names = [], []
    for rank, (piece, mesh) in enumerate(zip(scene.path.pieces, scene.meshes, strict=False), start=1):
        if len(mesh.vertices) and rank <= 3:
            places = scene.path.world_from_cam(piece)[:, :3, 3] * scene.factor
            rows.append([seen_from(mesh, side, places) for side in SIDES])
            names.append(f"piece {rank}")
    if not rows:
        return [text("No surface was observed well enough.")]
    return [images(rows, tuple(SIDES), names), text("Blue: camera path; red: its start.")]


def _path(scene: "Scene") -> list[str]:
    places = {
        f"piece {rank}": scene.path.world_from_cam(piece)[:, :3, 3] * scene.factor
        for rank, piece in enumerate(scene.path.pieces[:6], start=1)
    }
    return paths_from_two_sides(places, "Path", scene.unit)


def _drift(scene: "Scene") -> list[str]:
    frames = scene.path.frames
    index = [frame.index for frame in frames]
    lost = np.array([frame.piece < 0 for frame in frames])
    scale = np.where(lost, np.nan, [frame.scale for frame in frames])
    return [
        text(
            "Drift cannot be measured without ground truth.  It shows in how much the depth of a frame must be scaled "
            "to fit the previous surface, and in how well depth and texture agree with it."
        ),
        _over_time(index, scale, "Scale of each frame's depth", "factor"),
        _over_time(
            index, [100 * frame.difference for frame in frames], "Difference of depth to the previous surface", "%"
        ),
        _over_time(index, [frame.correlation for frame in frames], "Correlation of texture", ""),
        _over_time(index, [frame.overlap for frame in frames], "Visible fraction of the keyframes", ""),
    ]


def _over_time(index: list[int], values, title: str, label: str) -> str:
    return lines({title: (index, values)}, title, "frame", label, size=(420, 160))


def _confidence(shown: Shown) -> list[str]:
    blocks = [
        _over_time(shown.index, shown.used, "Fused fraction of the view", ""),
        _over_time(
            shown.index,
            [100 * error for error in shown.error],
            "Expected relative error of depth, median per frame",
            "%",
        ),
    ]
    rows, names = [], []
    for number, rgb, depth, error in shown.frames:
        known = depth > 0
        near, far = np.percentile(depth[known], (2, 98)) if known.any() else (1.0, 2.0)
        colours = colourise(error.astype(np.float32), 0.0, MOST_ERROR, colour_table("viridis"), known)
        rows.append([rgb, depth_picture(depth, float(near), float(max(far, 1.01 * near))), colours])
        names.append(f"frame {number}")
    if rows:
        blocks.append(images(rows, ("frame", "depth", f"expected error, dark 0 to bright {MOST_ERROR:.0%}"), names))
    return blocks
