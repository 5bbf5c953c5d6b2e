"""Streaming against whole-video inference: milliseconds per frame, and the difference in disparity.

    python tools/benchmark.py streaming --weights weights/vda_vits --input video.mp4 --frames 200

Streaming sees no later frames and aligns nothing.  Its disparity is compared with that of `infer` after one scale and
shift for the whole clip, which is all that either is defined up to.  Without weights and a video only the times mean
something.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from benchmarks import _machine, _networks, _options

from endodav_jax.inference.alignment import fit_scale_shift
from endodav_jax.inference.estimator import DepthEstimator
from endodav_jax.video.reader import FrameReader, open_source

HELP = "latency of streaming, and its difference from inference on the whole video"

THRESHOLD = 1.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments."""
    add = parser.add_argument
    add("--family", choices=_networks.WINDOW_FAMILIES, default="endodav")
    add("--preset", choices=("vitt", "vits", "vitb", "vitl"), default="vits")
    add("--weights", default="", help="a checkpoint folder; without it, random weights")
    add("--input", default="", help="a video; without it, a drifting texture of 256x320")
    add("--precision", choices=("float32", "bfloat16"), default="float32")
    add("--frames", type=_options.at_least(2), default=100, help="of the video at most (default: 100)")
    add("--json", type=_options.figures_file, help="write the figures there, too")


def run_arguments(args: argparse.Namespace) -> None:
    """Measures and prints one line of JSON."""
    estimator = DepthEstimator(*_networks.network(args.family, args.preset, args.weights), args.precision)
    if args.input:
        frames = [frame.rgb for frame in FrameReader(open_source(args.input), max_len=args.frames)]
    else:
        frames = list(_networks.drifting_frames(args.frames, 256, 320))
    streamed, seconds = stream(estimator, frames)
    figures = {
        "machine": _machine.describe(),
        "network": {"family": estimator.config.family, "preset": estimator.config.preset, "precision": args.precision},
        "weights": args.weights or "random",
        "video": {"name": Path(args.input).name or "drifting texture", "frames": len(frames)},
        "latency_ms": {"median": 1e3 * float(np.median(seconds)), "95%": 1e3 * float(np.percentile(seconds, 95))},
        "against_infer": difference(streamed, estimator.infer(frames)),
    }
    print(json.dumps(figures))
    _options.write_figures(figures, args.json)


def stream(estimator: DepthEstimator, frames: list[np.ndarray]) -> tuple[np.ndarray, list[float]]:
    """Disparities [N, H, W], and each frame's seconds but the first two's, which compile."""
    live, disparities, seconds = estimator.stream(), [], []
    for frame in frames:
        started = time.perf_counter()
        disparities.append(live.push(frame))
        seconds.append(time.perf_counter() - started)
    return np.stack(disparities), seconds[2:] or seconds


def difference(streamed: np.ndarray, whole: np.ndarray) -> dict:
    """How far streamed disparity [N, H, W] is from that of the whole video, after one scale and shift.

    Returns:
      abs_rel: mean |difference| / disparity, over pixels with more than a hundredth of the greatest disparity.
      delta: share of them within a factor of 1.25.
      flicker: mean change from frame to frame, of the stream over the whole video's; 1 is as steady.
    """
    scale, shift = fit_scale_shift(streamed, whole) or (1.0, 0.0)
    fitted = np.maximum(scale * streamed + shift, 0)
    counted = whole > 0.01 * whole.max()
    error = np.abs(fitted - whole)[counted] / whole[counted]
    ratio = np.maximum(fitted[counted], 1e-6) / whole[counted]
    changes = [float(np.abs(np.diff(video, axis=0)).mean()) for video in (fitted, whole)]
    return {
        "abs_rel": float(error.mean()),
        "delta": float((np.maximum(ratio, 1 / ratio) < THRESHOLD).mean()),
        "flicker": changes[0] / changes[1],
    }
