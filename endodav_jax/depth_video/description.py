"""The description written beside the outputs, `meta.json`: the input, the processing, and what the numbers mean."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from endodav_jax.checkpoints.card import Card
from endodav_jax.depth_video.config import InferConfig
from endodav_jax.depth_video.outputs import Camera, DepthRun, varies
from endodav_jax.depth_video.recordings import identity_of
from endodav_jax.depth_video.weights import NamedWeights
from endodav_jax.files import json_text, whole_file
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.version import __version__
from endodav_jax.video.frame_masks import FrameMasks
from endodav_jax.video.reader import FrameReader

UNITS = {
    "disparities": "the network's output after alignment of windows: inverse depth up to one scale and one shift for "
    "the whole clip; float32, 0 outside the mask",
    "depths": "1 / (1/max_depth + (1/min_depth - 1/max_depth) * disparity), the published disparity to depth; not "
    "metric: up to scale, and as far off as the disparity's shift is; float32, 0 outside the mask",
}
MILLIMETRES = {"depths_mm": "depths times scale.mm_per_unit, in mm; float32, 0 outside the mask"}
METRIC_UNITS = {
    "depths": "output of the metric network, unchanged, along the optical axis, in metres; float32, 0 outside the mask",
}


def units_of(model: DepthModelConfig, scaled: bool) -> dict[str, str | float]:
    """What the maps in an npz mean, and the numbers that this takes; `scaled` if there are millimetres."""
    in_mm = MILLIMETRES if scaled else {}
    if model.metric:
        return {**METRIC_UNITS, **in_mm}
    return {**UNITS, **in_mm, "min_depth": model.min_depth, "max_depth": model.max_depth}


def describe(
    config: InferConfig,
    weights: NamedWeights,
    card: Card,
    model: DepthModelConfig,
    reader: FrameReader,
    camera: Camera,
    inside: np.ndarray | None,
    run: DepthRun,
    paths: dict[str, Path],
    masks: FrameMasks | None = None,
) -> dict:
    """Returns what `meta.json` says: what was read, how depth was made of it, and what the numbers mean."""
    low, high = run.disparity_range
    about: dict[str, Any] = {
        "program": f"endodav_jax {__version__}",
        "packages": {name: version(name) for name in ("jax", "flax", "numpy", "av")},
        "weights": weights.name,
        "weights_sha256": weights.sha256,
        "card": card,
        "model": model,
        "settings": config,
        "input": {
            "name": reader.source.name,
            "size": list(reader.source.size),
            "fps": float(reader.source.fps),
            **identity_of(config.input),
            "frames_by_header": reader.source.count,
            "pixel_aspect": float(reader.pixel_aspect),
            **reader.source.about,
            "notes": reader.source.notes,
        },
        "frames": len(run.indices),
        "complete": run.stopped is None,
        "stopped": str(run.stopped) if run.stopped else None,
        "size": list(reader.size),
        "fps": float(reader.fps),
        "output": model.output,
        "units": units_of(model, run.scale is not None),
        "range": {"depths": [low, high]}
        if model.metric
        else {
            "disparities": [low, high],
            "depths": [float(model.depth(high)), float(model.depth(low))],
        },
        "scale": run.scale.described() if run.scale else "in metres" if model.metric else "up to scale",
        "colours": {
            "map": config.cmap,
            "range": config.range,
            "of": "depths, near is bright" if model.metric else "disparities",
            "spans": list(run.colour_range),
        },
        "alignment": {"rule": config.windows, "windows": run.windows},
        "steadied": (run.steady_note or "every frame, along the camera's path") if config.steady else None,
        "intrinsics": {"fx_fy_cx_cy": camera.intrinsics, "origin": camera.origin, "of": "the frames written here"},
        "mask": {"from": config.mask, "share_inside": 1.0 if inside is None else float(inside.mean())},
        "frame_masks": None
        if masks is None
        else {"from": str(masks.path), "outputs": config.mask_outputs, "notes": list(masks.notes(run.indices))},
        "files": {kind: path.name for kind, path in paths.items()},
    }
    if camera.lens is not None:
        about["intrinsics"]["lens"] = camera.lens.to_json()
    if run.png_scale is not None:
        about["png16"] = {"scale": run.png_scale, "depth": "value / scale", "invalid": 0}
    if reader.source.timed and varies(run.times, reader.fps):
        about["times"] = {"unit": "seconds since the first frame; videos play at the average rate", "of": run.times}
    return about


def write_description(path: Path, about: dict) -> None:
    """Writes the result of `describe`, plus further entries, as JSON.

    Raises:
      UserError: it cannot be written.
    """
    with whole_file(path) as part:
        part.write_text(json_text(about))
