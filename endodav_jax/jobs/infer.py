"""`endodav infer`: the depth of a video, a folder or pattern of images, or one image."""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

import endodav_jax
from endodav_jax.config import Config
from endodav_jax.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from endodav_jax.files import whole_file
from endodav_jax.geometry.depth import depth_from_disparity
from endodav_jax.inference.config import ALIGN, COLOUR_MAPS, FORMATS, PRECISIONS, STEREO, VIDEOS, InferConfig
from endodav_jax.jobs.weights import load_estimator
from endodav_jax.jobs.write_depth import Camera, DepthRun, check_outputs, output_paths, varies, write_depth
from endodav_jax.models.config import BACKBONES, DepthModelConfig
from endodav_jax.video.depth_files import need_exr
from endodav_jax.video.intrinsics import guessed_intrinsics, read_intrinsics
from endodav_jax.video.reader import FrameReader, open_source
from endodav_jax.video.view_mask import view_of

UNITS = {
    "disparities": "the network's output after alignment of windows: inverse depth up to one scale and one shift for "
    "the whole clip; float32, 0 outside the mask",
    "depths": "1 / (1/max_depth + (1/min_depth - 1/max_depth) * disparity), the published disparity to depth; not "
    "metric: up to scale, and as far off as the disparity's shift is; float32, 0 outside the mask",
    "min_depth": 0.1,
    "max_depth": 150.0,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments of `endodav infer`; underscores and the names of Video-Depth-Anything work as well."""
    defaults = InferConfig()
    add = parser.add_argument
    add("positional_input", nargs="?", metavar="INPUT", help="a video, a folder or pattern of images, or one image")
    add("-i", "--input", "--input-video", "--input_video", default="", metavar="INPUT", help="the same, as an option")
    add("-o", "--output", "--output-dir", "--output_dir", required=True, metavar="FOLDER", help="where outputs go")
    add("--weights", default="", metavar="FOLDER", help="a converted checkpoint (see: endodav convert --help)")
    add("--encoder", default="", choices=tuple(BACKBONES), help="refuse weights of another size")
    add("--align", default=defaults.align, choices=ALIGN, help="rule that ties windows together (%(default)s)")
    add("--precision", default=defaults.precision, choices=PRECISIONS, help="of activations (%(default)s)")
    add("--fp32", action="store_true", help="the same as --precision float32")
    add("--save", default=",".join(defaults.save), metavar="LIST",
        help=f"lossless depth, of {','.join(FORMATS)}, or none (%(default)s)")  # fmt: skip
    add("--save-npz", "--save_npz", action="store_true", help="the same as npz in --save")
    add("--save-exr", "--save_exr", action="store_true", help="the same as exr in --save")
    add("--videos", default=",".join(defaults.videos), metavar="LIST",
        help=f"of {','.join(VIDEOS)}: source, depth, side by side; or none (%(default)s)")  # fmt: skip
    add("--png-scale", "--png_scale", type=float, default=defaults.png_scale, metavar="S",
        help="16-bit PNG holds depth times S (a power of two that fits the clip)")  # fmt: skip
    add_reading_arguments(parser)
    add("--target-fps", "--target_fps", type=_limit, default=defaults.target_fps, metavar="FPS",
        help="at most so many frames a second")  # fmt: skip
    add("--intrinsics", default=defaults.intrinsics, metavar="FX,FY,CX,CY|FILE", help="in pixels of the source")
    add("--focal-length-x", "--focal_length_x", type=float, metavar="FX", help="with the centre of the frame")
    add("--focal-length-y", "--focal_length_y", type=float, metavar="FY", help="with the centre of the frame")
    add_colour_arguments(parser)
    add("--range", default=defaults.range, metavar="clip|percentile|LOW,HIGH",
        help="disparities that the colours span (%(default)s)")  # fmt: skip
    add("--overwrite", action="store_true", help="replace outputs that exist")
    add("--quiet", action="store_true", help="print nothing but errors")
    add("--verbose", action="store_true", help="print each window's scale and shift")


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments about reading that `infer` and `stream` share."""
    defaults = InferConfig()
    parser.add_argument("--stereo", default=defaults.stereo, choices=STEREO, help="the eye to cut out (%(default)s)")
    parser.add_argument("--max-len", "--max_len", type=_whole_limit, default=0, metavar="N", help="at most N frames")
    parser.add_argument("--max-res", "--max_res", type=_whole_limit, default=0, metavar="N",
                        help="longer side at most N pixels")  # fmt: skip
    parser.add_argument("--mask", default=defaults.mask, metavar="auto|none|FILE",
                        help="view inside a dark border: found, or an image not 0 inside (%(default)s)")  # fmt: skip


def add_colour_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments about colours that `infer` and `stream` share."""
    parser.add_argument("--cmap", default=InferConfig().cmap, choices=COLOUR_MAPS, help="colours (%(default)s)")
    parser.add_argument("--grayscale", action="store_true", help="the same as --cmap gray")


def run_arguments(args: argparse.Namespace) -> int:
    """Runs `endodav infer` and returns its exit code."""
    source = args.positional_input or args.input
    if not source:
        raise UserError("INPUT: none given; name a video, a folder or pattern of images, or an image")
    if args.positional_input and args.input:
        raise UserError(f"--input {args.input}: {args.positional_input} is given as well; name one input")
    save = _listed(args.save)
    save += tuple(kind for kind, wanted in (("npz", args.save_npz), ("exr", args.save_exr)) if wanted)
    focal = [value for value in (args.focal_length_x, args.focal_length_y) if value is not None]
    try:
        config = InferConfig(
            input=source,
            align=args.align,
            precision="float32" if args.fp32 else args.precision,
            encoder=args.encoder,
            stereo=args.stereo,
            max_len=args.max_len,
            target_fps=args.target_fps,
            max_res=args.max_res,
            mask=args.mask,
            intrinsics=args.intrinsics or (f"{focal[0]},{focal[-1]}" if focal else ""),
            save=tuple(dict.fromkeys(save)),
            videos=_listed(args.videos),
            cmap="gray" if args.grayscale else args.cmap,
            range=args.range,
            png_scale=args.png_scale,
            overwrite=args.overwrite,
            quiet=args.quiet,
            verbose=args.verbose,
        )
    except ValueError as error:
        field, _, what = str(error).removeprefix("infer.").partition(":")
        raise UserError(f"--{field.replace('_', '-')}:{what}") from error
    return infer(config, Path(args.output), args.weights, load_estimator)


def run(config: Config, workdir: Path) -> int:
    """Runs the `infer` section of a configuration with its `weights`; outputs go to `workdir`."""
    if not config.infer.input:
        raise UserError("config.infer.input: is empty; name a video, a folder or pattern of images, or an image")
    return infer(config.infer, workdir, config.weights, load_estimator)


def infer(config: InferConfig, folder: Path, weights: str, load: Callable) -> int:
    """Checks everything that can be checked at once, then loads the network, then works.

    Args:
      load: `load(weights, encoder, precision)` gives the estimator and its card.

    Returns:
      `EXIT_OK`, or `EXIT_SOME_FAILED` where reading stopped early and what came before was kept.
    """
    started = time.perf_counter()
    if "exr" in config.save:
        need_exr()
    reader = FrameReader(
        open_source(config.input),
        stereo=config.stereo,
        max_len=config.max_len,
        target_fps=config.target_fps,
        max_res=config.max_res,
    )
    paths = output_paths(folder, reader, config)
    camera = _camera(config, reader)
    check_outputs(paths, reader, config.overwrite)
    inside = view_of(reader, config.mask)
    estimator, card = load(weights, config.encoder, config.precision)
    run = write_depth(reader, estimator, paths, config, camera, inside)
    about = describe(config, weights, card, estimator.config, reader, camera, inside, run, paths)
    about["seconds"] = {"inference": run.inference_seconds, "all": time.perf_counter() - started}
    with whole_file(paths["meta"]) as part:
        part.write_text(json.dumps(about, indent=1, default=_plain) + "\n")
    frames = len(run.indices)
    if not config.quiet:
        names = ", ".join(path.name for path in paths.values())
        print(f"{folder}: {names}; {frames} frames, {frames / run.inference_seconds:.2f} frames/s")
        if "ply" in paths and not config.intrinsics:
            print("points: the focal length is guessed; give --intrinsics for true proportions")
    if run.stopped is not None:
        print(f"endodav infer: {run.stopped}; depth of the {frames} frames before is in {folder}", file=sys.stderr)
        return EXIT_SOME_FAILED
    return EXIT_OK


def describe(
    config: InferConfig,
    weights: str,
    card,
    model: DepthModelConfig,
    reader: FrameReader,
    camera: Camera,
    inside: np.ndarray | None,
    run: DepthRun,
    paths: dict[str, Path],
) -> dict:
    """Returns what `meta.json` says: what was read, how depth was made of it, and what the numbers mean."""
    low, high = run.disparity_range
    about = {
        "program": f"endodav_jax {endodav_jax.__version__}",
        "packages": {name: version(name) for name in ("jax", "flax", "numpy", "av")},
        "weights": weights,
        "card": card,
        "model": model,
        "settings": config,
        "input": {
            "name": reader.source.name,
            "size": list(reader.source.size),
            "fps": float(reader.source.fps),
            "frames_by_header": reader.source.count,
        },
        "frames": len(run.indices),
        "complete": run.stopped is None,
        "stopped": str(run.stopped) if run.stopped else None,
        "size": list(reader.size),
        "fps": float(reader.fps),
        "units": UNITS,
        "range": {
            "disparities": [low, high],
            "depths": [float(depth_from_disparity(high)), float(depth_from_disparity(low))],
        },
        "colours": {"map": config.cmap, "range": config.range, "of": "disparities", "spans": list(run.colour_range)},
        "alignment": {"rule": config.align, "windows": run.windows},
        "intrinsics": {"fx_fy_cx_cy": camera.intrinsics, "origin": camera.origin, "of": "the frames written here"},
        "mask": {"from": config.mask, "share_inside": 1.0 if inside is None else float(inside.mean())},
        "files": {kind: path.name for kind, path in paths.items()},
    }
    if run.png_scale is not None:
        about["png16"] = {"scale": run.png_scale, "depth": "value / scale", "invalid": 0}
    if reader.source.timed and varies(run.times, reader.fps):
        about["times"] = {"unit": "seconds since the first frame; videos play at the average rate", "of": run.times}
    return about


def _camera(config: InferConfig, reader: FrameReader) -> Camera:
    if config.intrinsics:
        return Camera(read_intrinsics(config.intrinsics, reader.full_size, reader.size), f"given: {config.intrinsics}")
    origin = "guessed: focal length 0.82 of the longer side, centre of the frame"
    return Camera(guessed_intrinsics(reader.size), origin)


def _listed(text: str) -> tuple[str, ...]:
    """Returns the items of `a,b,c`; `none` and nothing are the empty list."""
    return tuple(part.strip() for part in text.split(",") if part.strip() and part.strip() != "none")


def _limit(text: str) -> float:
    """A limit; -1 is none, as in Video-Depth-Anything."""
    value = float(text)
    if value < 0 and value != -1:
        raise argparse.ArgumentTypeError(f"{text} is negative; leave it out for no limit")
    return max(value, 0.0)


def _whole_limit(text: str) -> int:
    value = _limit(text)
    if value != int(value):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number")
    return int(value)


def _plain(value):
    """What `json` cannot write by itself."""
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in a description")
