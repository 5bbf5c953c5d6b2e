"""Depth from a live source, frame by frame, with the state of earlier frames kept on the device.

Source: Video-Depth-Anything's `infer_video_depth_one`.  Each frame is one step of a window of 32 whose other 31
positions are the first frame, the frame 41 steps back and the last 29 frames; while there are fewer, the first frame
fills the remaining positions.  Earlier frames are never processed again as images: the motion modules cache the keys
and values that each had when it arrived.  A frame therefore never sees later frames, and there is no alignment;
`tools/benchmark.py streaming` measures the loss of accuracy.
"""

import functools
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int, UInt8

from endodav_jax.inference import programs
from endodav_jax.inference.frame_checks import checked_frame
from endodav_jax.inference.frame_input import FrameInput
from endodav_jax.models import DepthModelConfig, window_network
from endodav_jax.models.dpt import FrameFeatures
from endodav_jax.models.interface import Cache

if TYPE_CHECKING:
    from endodav_jax.inference.network import Network

EARLIER = 31  # frames that a frame attends to, besides itself
FIXED = 2  # of them: the first frame and the distant one
RECENT = EARLIER - FIXED
DISTANCE = 41  # steps back to the distant frame
WAITING = DISTANCE - RECENT  # frames no longer recent and not yet distant
_UP = 4 * WAITING


class StreamState(NamedTuple):
    """The state kept from earlier frames, for each of the network's caches.

    Attributes:
      seen: [31, ...]: row 0 is the first frame, row 1 the distant one; a recent frame f is in row 2 + f % 29.
      waiting: [12, ...]: a frame f that is neither recent nor yet distant is in row f % 12.
    """

    seen: Cache
    waiting: Cache


def time_places(step: int) -> Int[np.ndarray, "31"]:
    """The position in the window of each row of `StreamState.seen` when frame number `step` arrives."""
    recent = np.arange(step - RECENT, step)
    places = np.arange(EARLIER, dtype=np.int32)
    places[FIXED + recent % RECENT] = np.arange(FIXED, EARLIER)
    return places


@functools.partial(jax.jit, static_argnames="config")
def first_step(
    params: dict, features: FrameFeatures, *, config: DepthModelConfig
) -> tuple[Float32[Array, "1 h w"], StreamState]:
    """Returns the disparity of the first frame, which sees only itself, and a state in which it fills all positions."""
    nothing = jnp.zeros((0,), jnp.int32)
    network = window_network(config, params)
    disparity, entries = network.decode_step(features, network.empty_cache(0), nothing)

    def repeated(count: int) -> Cache:
        return tuple(jnp.repeat(entry[None], count, axis=0) for entry in entries)

    return disparity, StreamState(repeated(EARLIER), repeated(WAITING))


@functools.partial(jax.jit, static_argnames="config", donate_argnames="state")
def next_step(
    params: dict,
    features: FrameFeatures,
    state: StreamState,
    step: Int[Array, ""],
    places: Int[Array, "31"],
    *,
    config: DepthModelConfig,
) -> tuple[Float32[Array, "1 h w"], StreamState]:
    """Returns the disparity of frame number `step` (1, 2, ...) and the state for the next one.

    Three rows change: the new frame replaces the oldest recent one, which begins to wait, and the one that
    has waited longest becomes the distant frame.
    """
    disparity, entries = window_network(config, params).decode_step(features, state.seen, places)
    recent_row = FIXED + jax.lax.rem(step, jnp.int32(RECENT))
    # The frames' rows `f % 12`, with the numbers made positive by adding multiples of 12.
    waiting_row = jax.lax.rem(step - RECENT + _UP, jnp.int32(WAITING))
    distant_row = jax.lax.rem(step + 1 - DISTANCE + _UP, jnp.int32(WAITING))

    def advanced(seen: Array, waiting: Array, entry: Array) -> tuple[Array, Array]:
        waiting = waiting.at[waiting_row].set(seen[recent_row])
        distant = waiting[distant_row]
        return seen.at[recent_row].set(entry).at[1].set(distant), waiting

    rows = [advanced(*leaves) for leaves in zip(state.seen, state.waiting, entries, strict=True)]
    return disparity, StreamState(*(tuple(leaves) for leaves in zip(*rows, strict=True)))


@functools.partial(jax.jit, static_argnames="config")
def encode_frame(params: dict, image: Float32[Array, "1 h w 3"], *, config: DepthModelConfig) -> FrameFeatures:
    """Features of one frame."""
    return window_network(config, params).encode(image)


class DepthStream:
    """Disparity of the frames of a live source, each computed from itself and the frames before it."""

    def __init__(self, network: "Network", view_mask: Bool[np.ndarray, "H W"] | None = None):
        """Starts before the first frame.  `DepthEstimator.stream` is the usual way here.

        Args:
          network: runs the network.
          view_mask: the visible pixels; the others do not affect the network and get disparity 0.
        """
        self._network = network
        self._view_mask = view_mask
        self._network_input = FrameInput(network.config, view_mask)
        self._shape: tuple[int, ...] | None = None
        self._state: object = None  # the last state returned by the network's `stream_step`
        self._step = 0

    def push(self, frame: UInt8[np.ndarray, "H W 3"]) -> Float32[np.ndarray, "H W"]:
        """Disparity of the next frame.

        Raises:
          UserError: the frame is not uint8 RGB, or its size differs from that of the first one or of the mask.
        """
        frame = checked_frame(frame, self._step, self._shape, self._view_mask)
        self._shape = frame.shape
        image = self._network_input(frame[None])
        if self._network.config.family_entry.windows:
            disparity, self._state = self._network.stream_step(image, self._step, self._state)
        else:
            disparity = self._network.single_frames(image)
        self._step += 1
        result = np.array(programs.to_frames(disparity, np.int32(0), count=1, frame_shape=frame.shape[:2]))[0]
        if self._view_mask is not None:
            result[~self._view_mask] = 0
        return result
