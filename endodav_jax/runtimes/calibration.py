"""Calibration data for int8: frames of a video or of rendered endoscopies, and the resulting inputs of each part."""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from endodav_jax.data.contract import EVALUATION_FRAME, EvaluationFrame
from endodav_jax.data.phantom import PhantomConfig
from endodav_jax.data.phantom.sequence import render_sequence
from endodav_jax.errors import UserError
from endodav_jax.inference.frame_input import FrameInput
from endodav_jax.inference.streaming import time_places
from endodav_jax.inference.windows import WINDOW_FRAMES
from endodav_jax.runtimes.exported import ExportedNetwork, channels_first
from endodav_jax.video.reader import FrameReader, open_source

FAMILIES = ("colon", "organ")
SEED = 7101
FRAMES = 32
LONG = 2000  # frames; in a longer video its key frames are sought, which in a short one may be a single frame


def rendered(seed: int, frames: int) -> Iterator[EvaluationFrame]:
    """Frames with their true depth: one sequence of `frames` per family, in order."""
    for family in FAMILIES:
        phantom = PhantomConfig.of(family, seed=seed, sequences=1, frames=frames)
        for values in render_sequence(phantom, 0):
            yield EvaluationFrame(**{key: values[key] for key in EVALUATION_FRAME if key in values})


def rendered_frames() -> list[UInt8[np.ndarray, "H W 3"]]:
    """Frames for calibration if no video is given."""
    return [frame.frame for frame in rendered(SEED, FRAMES // len(FAMILIES))]


def video_frames(video: str) -> list[UInt8[np.ndarray, "H W 3"]]:
    """Up to 32 frames of a video, spread over its length.

    Raises:
      UserError: it cannot be read, or contains no frames.
    """
    reader = FrameReader(open_source(video))
    if (reader.count or 0) > LONG:
        frames = reader.samples(FRAMES)
    else:
        apart = max((reader.count or 0) // FRAMES, 1)
        frames = [frame.rgb for frame in itertools.islice(reader, 0, apart * FRAMES, apart)]
    if not frames:
        raise UserError(f"--int8-frames {video}: contains no frames; name another video")
    return frames


def calibration_inputs(
    network: ExportedNetwork, frames: list[UInt8[np.ndarray, "H W 3"]], use: str
) -> dict[str, list[tuple[np.ndarray, ...]]]:
    """Inputs of the parts that can be quantised for a use, computed from frames by the float network."""
    network_input = FrameInput(network.config, None)
    inputs = [np.asarray(network_input(frame[None])) for frame in frames]
    images = [channels_first(each) for each in inputs]
    if use == "frames":
        return {"frame": [(image,) for image in images]}
    if use == "stream":
        steps = []
        _, state = network.stream_step(inputs[0], 0, None)
        for number, each in enumerate(inputs[1:] or inputs, 1):
            seen = (cache.copy() for cache in state.seen)  # before they change
            steps.append((channels_first(each), time_places(number), *seen))
            _, state = network.stream_step(each, number, state)
        return {"stream_step": steps}
    rows = [network.session("encode")(image) for image in images]
    filled = [rows[i % len(rows)] for i in range(WINDOW_FRAMES)]
    levels = (np.concatenate([row[i] for row in filled]) for i in (0, 1))
    (path_3,) = network.session("coarse")(*levels)
    fine = [(path_3[i : i + 1], *row[2:]) for i, row in enumerate(rows[:WINDOW_FRAMES])]
    return {"encode": [(image,) for image in images], "fine": fine}
