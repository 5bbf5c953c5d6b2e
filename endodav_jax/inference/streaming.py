"""Depth from a live source, frame by frame, with the state of earlier frames kept on the device.

Source: Video-Depth-Anything's `infer_video_depth_one`.  Each frame is one step of a window of 32 whose other 31
positions are the first frame, the frame 41 steps back and the last 29 frames; while there are fewer, the first frame
fills the remaining positions.  Earlier frames are never processed again as images: the motion modules cache the keys
and values that each had when it arrived.  A frame therefore never sees later frames, and there is no alignment;
`tools/benchmark.py streaming` measures the loss of accuracy.
"""

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int, UInt8
from numpy.typing import ArrayLike

from endodav_jax.inference import programs
from endodav_jax.inference.frame_checks import checked_frame, checked_mask
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
_UP = 4 * WAITING  # keeps the numbers of frames positive, and their remainders the same

Index = int | Array


class StreamState(NamedTuple):
    """The state kept from earlier frames, for each of the network's caches.

    Attributes:
      seen: [31, ...]: row 0 is the first frame, row 1 the distant one; a recent frame f is in row 2 + f % 29.
      waiting: [12, ...]: a frame f that is neither recent nor yet distant is in row f % 12.
    """

    seen: Cache
    waiting: Cache

    @classmethod
    def of(cls, arrays: Sequence[Any]) -> "StreamState":
        """The state of arrays that are in order: all of `seen`, then all of `waiting`."""
        half = len(arrays) // 2
        return cls(tuple(arrays[:half]), tuple(arrays[half:]))


class ChangedRows(NamedTuple):
    """The rows of the state that change after a frame, whose entries replace those of the oldest recent one.

    Attributes:
      recent: of `seen`, the frame's own; what was there before begins to wait.
      waiting: of `waiting`, where it does.
      distant: of `waiting`, the frame that has waited longest, and is copied to row 1 of `seen`.
    """

    recent: Index
    waiting: Index
    distant: Index

    @classmethod
    def after(cls, step: Index, remainder: Callable[[Any, Any], Any] = operator.mod) -> "ChangedRows":
        """The rows after frame number `step`, 1, 2, ...; numbers are positive wherever `remainder` is taken."""
        later = step + _UP
        return cls(
            FIXED + remainder(step, RECENT),
            remainder(later - RECENT, WAITING),
            remainder(later + 1 - DISTANCE, WAITING),
        )


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


@functools.partial(jax.jit, static_argnames="config")
def next_step(
    params: dict, features: FrameFeatures, seen: Cache, places: Int[Array, "31"], *, config: DepthModelConfig
) -> tuple[Float32[Array, "1 h w"], Cache]:
    """Returns the disparity of a frame that sees the state's `seen`, and the frame's own entries for `advanced`."""
    return window_network(config, params).decode_step(features, seen, places)


# A program of its own: in that of the network, which reads the state as well, XLA would copy it before it is changed.
@functools.partial(jax.jit, donate_argnames="state")
def advanced(state: StreamState, entries: Cache, step: Int[Array, ""]) -> StreamState:
    """Returns the state after frame number `step` (1, 2, ...), with that frame's `entries`."""
    rows = ChangedRows.after(step, lambda number, count: jax.lax.rem(number, jnp.int32(count)))

    def moved(seen: Array, waiting: Array, entry: Array) -> tuple[Array, Array]:
        waiting = waiting.at[rows.waiting].set(seen[rows.recent])
        # In this order each change needs what is read before it, and nothing has to be copied.
        return seen.at[1].set(waiting[rows.distant]).at[rows.recent].set(entry), waiting

    caches = [moved(*leaves) for leaves in zip(state.seen, state.waiting, entries, strict=True)]
    return StreamState(*(tuple(leaves) for leaves in zip(*caches, strict=True)))


def advance(state: StreamState, entries: Sequence[np.ndarray], step: int) -> None:
    """Changes a state on the host, NumPy arrays, as `advanced` does."""
    rows = ChangedRows.after(step)
    caches: Iterable[Any] = zip(state.seen, state.waiting, entries, strict=True)
    for seen, waiting, entry in caches:
        waiting[rows.waiting] = seen[rows.recent]
        seen[1] = waiting[rows.distant]
        seen[rows.recent] = entry


@functools.partial(jax.jit, static_argnames="config")
def encode_frame(params: dict, image: Float32[Array, "1 h w 3"], *, config: DepthModelConfig) -> FrameFeatures:
    """Features of one frame."""
    return window_network(config, params).encode(image)


class DepthStream:
    """Disparity of the frames of a live source, each computed from itself and the frames before it."""

    def __init__(self, network: "Network", view_mask: ArrayLike | None = None):
        """Starts before the first frame.  `DepthEstimator.stream` is the usual way here.

        Args:
          network: runs the network.
          view_mask: [H, W], true (or any number but 0) where a pixel is visible; the others do not affect the network
            and get disparity 0.

        Raises:
          UserError: the mask is not an array [H, W] of numbers or booleans.
        """
        self._network = network
        self._view_mask = checked_mask(view_mask)
        self._network_input = FrameInput(network.config, self._view_mask)
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
