"""Clips per second: the pipeline over a prepared data set against reading PNG files as the published loader does.

Both sides get the same made-up SCARED-like video (1280x1024, textured and noisy, so that PNG files are as large as
real ones) and the same number of cores.  The published side decodes the T + 2 full-size PNGs of a clip, resizes each to
four scales and jitters the colours of every other clip at every scale, with Pillow on 8-bit pictures: less work than
the published tensors in floating point are, so the ratio is on the safe side.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import random
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmarks import _options
from PIL import Image, ImageEnhance

from endodav_jax import process
from endodav_jax.data.config import DataConfig
from endodav_jax.data.pipeline import ClipBatches
from endodav_jax.data.prepare import Form, build, find_sequences
from endodav_jax.data.sources.scared import ScaredSource
from endodav_jax.errors import UserError

HELP = "clips a second from prepared data, against PNG files read as the published loader does"

SHAPE = (256, 320)
FULL = (1024, 1280)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fills in the arguments."""
    add = parser.add_argument
    add("--frames", type=_options.at_least(3), default=120, help="frames of the made-up video (default: 120)")
    add("--clip-length", type=_options.at_least(1), default=16, help="T (default: 16)")
    add("--clips", type=_options.at_least(1), default=400, help="clips to time of the pipeline (default: 400)")
    add("--published-clips", type=_options.at_least(1), default=12, help="clips to time of the PNG files (default: 12)")
    add("--cores", type=_options.at_least(1), default=os.cpu_count(), help="threads or processes on each side")
    add("--storage", choices=("fast", "compact"), default="fast", help="files of the prepared frames")


def run_arguments(args: argparse.Namespace) -> None:
    """Makes the data, times both sides and prints one line of JSON.

    Raises:
      UserError: the video is shorter than a clip and its neighbours.
    """
    if args.frames < args.clip_length + 2:
        raise UserError(f"--frames {args.frames}: give at least {args.clip_length + 2}, which is --clip-length and two")
    process.set_up()
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        paths = write_video(raw / "train" / "dataset7" / "keyframe4" / "data" / "left", args.frames)
        prepared = prepare(raw, Path(folder) / "prepared", args.storage)
        ours = pipeline_rate(prepared, args.clip_length, args.clips, args.cores)
        published = published_rate(paths, args.clip_length, args.published_clips, args.cores)
        stored = sum(path.stat().st_size for path in prepared.glob("*.array_record*"))
        result = {
            "clip_length": args.clip_length,
            "cores": args.cores,
            "storage": args.storage,
            "pipeline_clips_per_second": round(ours, 2),
            "published_clips_per_second": round(published, 3),
            "ratio": round(ours / published, 1),
            "png_bytes_per_frame": round(sum(path.stat().st_size for path in paths) / len(paths)),
            "stored_bytes_per_frame": round(stored / len(paths)),
        }
    print(json.dumps(result))


def write_video(folder: Path, frames: int) -> list[Path]:
    """Writes full-size PNG frames that drift over a texture of several sizes, with a sensor's noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    height, width = FULL[0] + 2 * frames, FULL[1] + 2 * frames
    texture = np.zeros((height, width, 3), np.float32)
    for cell, strength in ((256, 60), (64, 25), (16, 10), (4, 4)):
        coarse = rng.normal(0, strength, (height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        for channel in range(3):
            grown = Image.fromarray(coarse[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            texture[..., channel] += np.asarray(grown)
    texture += (150, 80, 70)
    paths = []
    for index in range(frames):
        view = texture[2 * index : 2 * index + FULL[0], index : index + FULL[1]]
        noisy = view + rng.normal(0, 1.5, view.shape).astype(np.float32)
        paths.append(folder / f"{index + 1:010d}.png")
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(paths[-1], compress_level=3)
    return paths


def prepare(raw: Path, out: Path, storage: str) -> Path:
    """Prepares the video as `endodav prepare scared` would for training."""
    source = ScaredSource(raw)
    sequences, infos, _ = find_sequences(source, ("train",), skip_missing=True)
    form = Form(("train",), SHAPE, storage)
    return build("scared", source, form, sequences, infos, out, settings={}, quiet=True)


def pipeline_rate(prepared: Path, clip_length: int, clips: int, cores: int) -> float:
    """Returns clips per second of `ClipBatches`, after a few to warm up."""
    config = DataConfig(path=str(prepared), clip_length=clip_length, threads=cores)
    with ClipBatches(config, seed=0) as batches:
        for _ in range(2 * config.prefetch):
            next(batches)
        start = time.perf_counter()
        for _ in range(clips):
            next(batches)
        return clips / (time.perf_counter() - start)


def published_rate(paths: list[Path], clip_length: int, clips: int, cores: int) -> float:
    """Returns clips per second of reading PNG files in `cores` processes, as a loader's workers do."""
    rng = random.Random(0)
    starts = [rng.randrange(len(paths) - clip_length - 1) for _ in range(clips)]
    chosen = [paths[start : start + clip_length + 2] for start in starts]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(cores, context) as pool:
        list(pool.map(published_clip, chosen[:cores], range(cores)))  # start the processes
        start = time.perf_counter()
        list(pool.map(published_clip, chosen, range(clips)))
        return clips / (time.perf_counter() - start)


def published_clip(paths: list[Path], seed: int) -> list[np.ndarray]:
    """Reads, resizes and jitters a clip: eight arrays, plain and jittered at four scales."""
    rng = random.Random(seed)
    mirror, jitter = rng.random() > 0.5, rng.random() > 0.5
    scales: list[list[np.ndarray]] = [[] for _ in range(8)]
    for path in paths:
        with Image.open(path) as file:
            picture = file.convert("RGB")
        if mirror:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for scale in range(4):
            size = (SHAPE[1] >> scale, SHAPE[0] >> scale)
            picture = picture.resize(size, Image.Resampling.BILINEAR)
            jittered = _jittered(picture) if jitter else picture
            for place, values in ((scale, picture), (4 + scale, jittered)):
                scales[place].append(np.asarray(values, np.float32).transpose(2, 0, 1) / 255)
    return [np.stack(values) for values in scales]


def _jittered(picture: Image.Image) -> Image.Image:
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(1.1)
    hue, saturation, value = picture.convert("HSV").split()
    turned = Image.fromarray(np.asarray(hue) + np.uint8(20))
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")
