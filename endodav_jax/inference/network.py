"""The interface between inference and a network, independent of the runtime, and its JAX implementation.

Windows, alignment, masks and writers are the same for every runtime; only the network differs.  `runtimes/` implements
it for other runtimes.
"""

from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float32, Int

from endodav_jax.inference import programs, streaming
from endodav_jax.inference.streaming import StreamState
from endodav_jax.inference.windows import WINDOW_FRAMES
from endodav_jax.models import DepthModelConfig

# Features of frames, a tuple of arrays whose first axis is the frame, on the device or on the host.
Bank = tuple
Disparity = Array | np.ndarray


@runtime_checkable
class Network(Protocol):
    """A network in parts.  Images are float32 [N,h,w,3] as returned by `programs.prepare`.

    Attributes:
      config: configuration of the network, adapters merged.
    """

    config: DepthModelConfig

    def empty_bank(self, rows: int) -> Bank:
        """Allocates a bank for the features of `rows` frames."""

    def encode_into(self, bank: Bank, images: Array, row: int) -> Bank:
        """Returns the bank with the features of the images in rows `row` ...; the given bank may be consumed."""

    def select(self, bank: Bank, rows: Int[np.ndarray, "N"]) -> Bank:
        """Returns the bank whose row i is row `rows[i]` of the given one."""

    def carry(self, bank: Bank, rows: Int[np.ndarray, "N"]) -> Bank:
        """Returns the bank with its first rows replaced by rows `rows`; the given bank may be consumed."""

    def coarse(self, features: Bank) -> Array | np.ndarray:
        """Runs the part of the decoder in which frames interact, on consecutive windows of 32 frames."""

    def fine(self, path_3, features: Bank, first: int, count: int) -> Float32[Disparity, "count h w"]:
        """Runs the rest of the decoder for `count` frames, starting at row `first`."""

    def single_frames(self, images: Array) -> Float32[Disparity, "N h w"]:
        """Returns the disparity of each frame, for a network that processes frames independently."""

    def stream_step(self, image: Array, step: int, state) -> tuple[Float32[Disparity, "1 h w"], object]:
        """Returns the disparity of frame `step` of a live source, and the state for the next; None at first.

        The given state may be consumed.
        """


class JaxNetwork:
    """A `Network` that runs in JAX, using `programs` and `streaming`."""

    def __init__(self, config: DepthModelConfig, params: dict):
        """Takes a network with merged adapters and its weights, which are moved to the device."""
        self.config = config
        self.params = jax.device_put(params)

    def empty_bank(self, rows: int) -> Bank:
        return programs.empty_bank(self.config, self.params, rows)

    def encode_into(self, bank: Bank, images: Array, row: int) -> Bank:
        return programs.encode_into(self.params, bank, images, np.int32(row), config=self.config)

    def select(self, bank: Bank, rows: Int[np.ndarray, "N"]) -> Bank:
        return programs.select(bank, rows)

    def carry(self, bank: Bank, rows: Int[np.ndarray, "N"]) -> Bank:
        return programs.carry(bank, rows)

    def coarse(self, features: Bank) -> Array:
        return programs.coarse(self.params, features, length=WINDOW_FRAMES, config=self.config)

    def fine(self, path_3: Array, features: Bank, first: int, count: int) -> Float32[Array, "count h w"]:
        return programs.fine(self.params, path_3, features, np.int32(first), count=count, config=self.config)

    def single_frames(self, images: Array) -> Float32[Array, "N h w"]:
        return programs.single_frames(self.params, images, config=self.config)

    def stream_step(
        self, image: Array, step: int, state: StreamState | None
    ) -> tuple[Float32[Array, "1 h w"], StreamState]:
        features = streaming.encode_frame(self.params, image, config=self.config)
        if state is None:
            return streaming.first_step(self.params, features, config=self.config)
        places = streaming.time_places(step)
        disparity, entries = streaming.next_step(self.params, features, state.seen, places, config=self.config)
        return disparity, streaming.advanced(state, entries, np.int32(step))
