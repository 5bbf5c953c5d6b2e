"""A depth network as pure functions of arrays, with fixed names, shapes and weights, for export.

There are two forms.  `video` (EndoDAC: `frame`) is a complete network from frames to disparity.  The others are the
parts for inference on long videos, so that frames shared by two windows are encoded once:

    frames --encode--> level_3, level_4, skip_2, skip_1;  window of levels --coarse--> path_3;
    path_3, skip_2, skip_1 of a frame --fine--> disparity

(for a metric network: depth, in metres)

and `stream_first`, `stream_next` are the steps for a live source, with their caches as inputs and outputs.
`stream_step` is the second for programs that keep the caches: it returns what the frame adds to them.
"""

import dataclasses
import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from endodav_jax.export.manifest import OUTPUTS
from endodav_jax.inference.streaming import (
    EARLIER,
    FIXED,
    RECENT,
    WAITING,
    StreamState,
    advanced,
    first_step,
    next_step,
)
from endodav_jax.inference.windows import WINDOW_FRAMES
from endodav_jax.models import DepthModelConfig, frame_network, window_network
from endodav_jax.models.dpt import FrameFeatures

NEXT = "next_"  # + name of a cache: the output to pass as that input with the next frame
FEATURES = FrameFeatures._fields


@dataclasses.dataclass(frozen=True)
class Part:
    """One function to export.

    Attributes:
      name: of the file.
      function: arrays in the order of `inputs` -> tuple of arrays in the order of `outputs`.
      inputs: name -> shape and dtype.
      outputs: names.
      batched: whether the first axis of inputs and outputs counts independent frames, so that it can have any
        length.
      about: one-line description stored in the file.
    """

    name: str
    function: Callable[..., tuple[Array, ...]]
    inputs: dict[str, jax.ShapeDtypeStruct]
    outputs: tuple[str, ...]
    batched: bool
    about: str


def parts_of(config: DepthModelConfig, params: dict) -> dict[str, Part]:
    """The parts of a network by name.

    Args:
      config: of the network, adapters merged.
      params: its weights, a pure nested dict; they become constants of the functions.
    """
    parts = _video_parts(config, params) if config.family_entry.windows else _frame_parts(config, params)
    return {part.name: part for part in parts}


def input_shape(config: DepthModelConfig) -> tuple[int, int]:
    """(height, width) of the network's input frames."""
    return config.family_entry.frame_shape or config.image_shape


def output_name(config: DepthModelConfig) -> str:
    """Name of the network's output: `disparity`, or `depth` for a metric network."""
    return OUTPUTS[config.output]["name"]


def output_said(config: DepthModelConfig) -> str:
    """The same with its unit, human-readable."""
    output = OUTPUTS[config.output]
    return f"{output['name']} ({output['units']})"


def channels_last(frames: Float[Array, "N 3 H W"]) -> Float[Array, "N H W 3"]:
    """Converts frames from the axis order of other programs to that of the networks here."""
    return jnp.transpose(frames, (0, 2, 3, 1))


def _frame_parts(config: DepthModelConfig, params: dict) -> list[Part]:
    def frame(frames):
        return (frame_network(config, params).frame_disparity(channels_last(frames)),)

    said = output_said(config)
    about = f"RGB frames in [0, 1] -> {said} of each frame independently; the network resizes them itself"
    inputs = {"frames": _floats(1, 3, *input_shape(config))}
    return [Part("frame", frame, inputs, (output_name(config),), True, about)]


def _video_parts(config: DepthModelConfig, params: dict) -> list[Part]:
    def network():
        return window_network(config, params)

    def video(frames):
        windows, length = frames.shape[:2]
        features = network().encode(channels_last(frames.reshape(windows * length, *frames.shape[2:])))
        return (network().decode(features, length),)

    def encode(frames):
        return tuple(network().encode(channels_last(frames)))

    def coarse(level_3, level_4):
        # The coarse decoder only needs the size of the skips.
        skip_2 = jnp.zeros((WINDOW_FRAMES, *features["skip_2"].shape[1:]), features["skip_2"].dtype)
        return (network().decode_coarse(FrameFeatures(level_3, level_4, skip_2, skip_2), WINDOW_FRAMES),)

    def fine(path_3, skip_2, skip_1):
        # The fine decoder does not need the levels.
        return (network().decode_tail(path_3, FrameFeatures(skip_2, skip_2, skip_2, skip_1)),)

    def stream_first(frames):
        disparity, state = inspect.unwrap(first_step)(params, network().encode(channels_last(frames)), config=config)
        return (disparity, *state.seen, *state.waiting)

    def stream_next(frames, step, *caches):
        state = StreamState.of(caches)
        features = network().encode(channels_last(frames))
        places = time_places(step)
        disparity, entries = inspect.unwrap(next_step)(params, features, state.seen, places, config=config)
        state = inspect.unwrap(advanced)(state, entries, step)
        return (disparity, *state.seen, *state.waiting)

    def stream_step(frames, places, *seen):
        features = network().encode(channels_last(frames))
        disparity, entries = inspect.unwrap(next_step)(params, features, seen, places, config=config)
        return (disparity, *entries)

    frame = {"frames": _floats(1, 3, *config.image_shape)}
    features = dict(zip(FEATURES, jax.eval_shape(encode, *frame.values()), strict=True))
    window = {name: _rows(features[name], WINDOW_FRAMES) for name in FEATURES[:2]}
    (path_3,) = jax.eval_shape(coarse, *window.values())
    cache = {f"seen_{i}": leaf for i, leaf in enumerate(jax.eval_shape(lambda: network().empty_cache(EARLIER)))}
    waiting = {f"waiting_{i}": _rows(leaf, WAITING) for i, leaf in enumerate(cache.values())}
    state = tuple(NEXT + name for name in cache | waiting)
    clip = {"frames": _floats(1, WINDOW_FRAMES, 3, *config.image_shape)}
    per_frame = {"path_3": _rows(path_3, 1), **{name: features[name] for name in FEATURES[2:]}}
    count, places = jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((EARLIER,), jnp.int32)
    entries = tuple(f"entry_{i}" for i in range(len(cache)))
    output, said = output_name(config), output_said(config)
    return [
        Part("video", video, clip, (output,), False, f"{WINDOW_FRAMES} RGB frames in [0, 1] -> their {said}"),
        Part("encode", encode, frame, FEATURES, True, "an RGB frame in [0, 1] -> all features that depend only on it"),
        Part("coarse", coarse, window, ("path_3",), False, "levels of a window's frames -> coarse path of each"),
        Part("fine", fine, per_frame, (output,), True, f"coarse path and skips of a frame -> its {said}"),
        Part("stream_first", stream_first, frame, (output, *state), False,
             f"the first frame of a live source -> its {said} and the caches"),
        Part("stream_next", stream_next, {**frame, "step": count, **cache, **waiting}, (output, *state), False,
             f"frame number `step` = 1, 2, ... and the caches -> its {said} and the caches for the next frame"),
        Part("stream_step", stream_step, {**frame, "places": places, **cache}, (output, *entries), False,
             f"a later frame, the places in time of the caches' rows and the caches -> its {said} and its entries"),
    ]  # fmt: skip


def time_places(step: Array) -> Array:
    """`streaming.time_places` within a program: the position in the window of each row of the cache."""
    # (row - step) mod RECENT without negative numbers, whose remainders differ between runtimes.
    rows = jnp.arange(RECENT, dtype=jnp.int32)
    recent = FIXED + jax.lax.rem(rows + (RECENT - 1) * step, jnp.int32(RECENT))
    return jnp.concatenate([jnp.arange(FIXED, dtype=jnp.int32), recent])


def _floats(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _rows(leaf: jax.ShapeDtypeStruct, rows: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype)
