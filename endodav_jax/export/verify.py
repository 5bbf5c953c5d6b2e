"""Compares exported files with the network: largest and mean difference on two kinds of frames."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from endodav_jax.checkpoints import load_model
from endodav_jax.choices import Precision
from endodav_jax.data.phantom import PhantomConfig
from endodav_jax.data.phantom.sequence import render_sequence
from endodav_jax.errors import UserError
from endodav_jax.export.export import digest_of_weights, merged_float32
from endodav_jax.export.manifest import Manifest, Storage
from endodav_jax.export.parts import Part, input_shape, parts_of
from endodav_jax.export.sessions import onnxruntime_session, open_session
from endodav_jax.inference.preprocess import network_input
from endodav_jax.inference.runtimes import Engine
from endodav_jax.inference.streaming import StreamState, advance, time_places
from endodav_jax.video.reader import FrameReader, open_source

# Relative to the range of each output.  float32 differs only by the order of sums, the others by their rounding.
TOLERANCE = {"float32": 1e-4, "float16": 3e-2, "int8": 1e-1}
# Of the mean, on random frames: there rounding grows at single pixels, which says nothing about pictures.
TOLERANCE_ON_NOISE = {"float16": 5e-3, "int8": 3e-2}
RANDOM = "random"
STREAM_STEPS = 40
LATER_STEPS = ("stream_next", "stream_step")  # compared over a whole stream


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference between a part's outputs and the network's, relative to the range of each output.

    Attributes:
      part: its name.
      frames: `RANDOM`, or the source of the frames.
      largest, mean: over all outputs.
    """

    part: str
    frames: str
    largest: float
    mean: float

    def excess(self, storage: Storage) -> str:
        """What is above its tolerance in files of this storage; "" if nothing is."""
        limit = TOLERANCE_ON_NOISE.get(storage)
        if self.frames == RANDOM and limit is not None:
            return "" if self.mean <= limit else f"mean above {limit:g}"
        return "" if self.largest <= TOLERANCE[storage] else f"above {TOLERANCE[storage]:g}"


def read_manifest(path: Path) -> tuple[Manifest, Path]:
    """Returns the manifest of a folder of parts or of one ONNX file, and the folder that the parts are in.

    Raises:
      UserError: it is neither.
    """
    if path.is_dir():
        return Manifest.of_folder(path), path
    if path.suffix != ".onnx" or not path.is_file():
        raise UserError(f"{path}: neither a folder written by `endodav export` nor an .onnx file")
    try:
        meta = onnxruntime_session(path).get_modelmeta()
    except UserError:
        raise
    except Exception as error:  # onnxruntime's own kinds
        raise UserError(f"{path}: onnxruntime cannot read it; export it again") from error
    manifest = Manifest.from_text(meta.custom_metadata_map.get("endodav_jax", ""), str(path))
    part = next((part for part, file in manifest.parts.items() if file == path.name), None)
    if part is None and len(manifest.parts) > 1:
        raise UserError(f"{path}: is one of several parts, under another name; give it its name back, or name a folder")
    return dataclasses.replace(manifest, parts={part or next(iter(manifest.parts)): path.name}), path.parent


def verify_export(
    path: Path | str,
    weights: Path | str,
    clips: dict[str, Float32[np.ndarray, "N H W 3"]],
    engine: Engine | None = None,
    compute: Precision = "float32",
) -> list[Difference]:
    """Compares every part of an export with the original network.

    Args:
      path: a folder of parts, or an ONNX file.
      weights: the weights that were exported.
      clips: name -> at least 40 frames in [0, 1] at the network's size, to compare on in addition to random ones.
      engine: see `open_session`.
      compute: see `open_session`.

    Raises:
      UserError: it was exported from other weights; see also `read_manifest`, `load_model` and `open_session`.
    """
    manifest, folder = read_manifest(Path(path))
    config, params, _ = load_model(weights)
    config, depth = merged_float32(config, params["depth"])
    if (manifest.config, manifest.weights_digest) != (config, digest_of_weights(depth)):
        raise UserError(f"{path}: was exported from other weights than those in {weights}")
    parts = parts_of(config, depth)
    random = np.random.default_rng(0).random((STREAM_STEPS, *_frame_shape(parts)), np.float32)
    found = []
    for name, frames in ({RANDOM: random} | clips).items():
        frames = np.ascontiguousarray(np.moveaxis(frames, -1, 1)) if name != RANDOM else random
        examples = part_inputs(parts, frames)
        for part in manifest.parts:
            file = folder / manifest.parts[part]
            session = open_session(file, engine, compute)
            if part in LATER_STEPS:
                first = open_session(file.with_stem("stream_first"), engine, compute)
                ours_first, ours = (jax.jit(parts[name].function) for name in ("stream_first", part))
                pairs = zip(
                    _streamed(part, first, session, frames), _streamed(part, ours_first, ours, frames), strict=True
                )
            else:
                expected = jax.jit(parts[part].function)(*examples[part])
                pairs = zip(session(*examples[part]), map(np.asarray, expected), strict=True)
            found.append(_difference(part, name, pairs))
    return found


def example_clip(video: str, manifest: Manifest) -> dict[str, Float32[np.ndarray, "40 H W 3"]]:
    """40 frames in [0, 1] at the size of the exported network, from a video or a rendered endoscopy.

    Args:
      video: as for `endodav infer`; empty to render one.
      manifest: of the export.

    Raises:
      UserError: the video cannot be read.
    """
    shape = input_shape(manifest.config)
    if video:
        frames = [frame.rgb for frame in itertools.islice(FrameReader(open_source(video)), STREAM_STEPS)]
        frames += frames[-1:] * (STREAM_STEPS - len(frames))
        name = "video"
    else:
        phantom = PhantomConfig(family="colon", sequences=1, frames=STREAM_STEPS, height=64, width=80)
        frames = [frame["frame"] for frame in render_sequence(phantom, 0)]
        name = "rendered"
    return {name: np.concatenate([np.asarray(network_input(jnp.asarray(frame[None]), shape)) for frame in frames])}


def part_inputs(parts: dict[str, Part], frames: Float32[np.ndarray, "N 3 H W"]) -> dict[str, tuple[np.ndarray, ...]]:
    """Inputs of every part computed from real frames, using the outputs of the preceding parts."""
    if "frame" in parts:
        return {"frame": (frames[:1],)}
    window = frames[: parts["video"].inputs["frames"].shape[1]]
    encode = jax.jit(parts["encode"].function)
    rows = [encode(frame[None]) for frame in window]
    level_3, level_4, skip_2, skip_1 = (np.concatenate([np.asarray(row[i]) for row in rows]) for i in range(4))
    (path_3,) = map(np.asarray, jax.jit(parts["coarse"].function)(level_3, level_4))
    return {
        "video": (window[None],),
        "encode": (frames[:1],),
        "coarse": (level_3, level_4),
        "fine": (path_3[:1], skip_2[:1], skip_1[:1]),
        "stream_first": (frames[:1],),
    }


def _streamed(part: str, first: Callable, later: Callable, frames: np.ndarray) -> Iterator[np.ndarray]:
    """Disparities of a stream's second and later frames, by either form of a step."""
    caches = [np.array(cache) for cache in first(frames[:1])[1:]]
    for step, frame in enumerate(frames[1:STREAM_STEPS], 1):
        if part == "stream_next":
            disparity, *caches = later(frame[None], np.array(step, np.int32), *caches)
        else:
            state = StreamState.of(caches)
            disparity, *entries = later(frame[None], time_places(step), *state.seen)
            advance(state, entries, step)
        yield np.asarray(disparity)


def _difference(part: str, frames: str, pairs) -> Difference:
    shares = []
    for found, expected in pairs:
        span = max(float(expected.max() - expected.min()), 1e-12)
        gap = np.abs(found.astype(np.float32) - expected) / span
        shares.append((float(gap.max()), float(gap.mean())))
    largest, mean = np.array(shares).T
    return Difference(part, frames, float(largest.max()), float(mean.mean()))


def _frame_shape(parts: dict[str, Part]) -> tuple[int, int, int]:
    return next(iter(parts.values())).inputs["frames"].shape[-3:]
