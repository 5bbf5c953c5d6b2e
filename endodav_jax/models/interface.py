"""The interfaces through which the package uses the networks and adapters of every family."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from jaxtyping import Array, Bool, Float, Int, PyTree

from endodav_jax.models.config import DepthModelConfig

Cache = tuple[Array, ...]


@runtime_checkable
class DepthNetwork(Protocol):
    """A depth network, an `nnx.Module`, with everything that training and evaluation need.

    Frames are in [0, 1] and of any size, the view mask marks the pixels that show something (None: all), and disparity
    is float32 and nonnegative.  h x w is the size of the finest map.
    """

    config: DepthModelConfig

    def __call__(
        self, frames: Float[Array, "B T H W 3"], view_mask: Bool[Array, "B H W"] | None = None
    ) -> tuple[Float[Array, "B T _ _"], ...]:
        """Disparity at four scales, each half as large as the one before."""
        ...

    def disparity(
        self, frames: Float[Array, "B T H W 3"], view_mask: Bool[Array, "B H W"] | None = None
    ) -> Float[Array, "B T h w"]:
        """The finest disparity only, computing no more than it needs."""
        ...


@runtime_checkable
class FrameNetwork(DepthNetwork, Protocol):
    """A network that looks at one frame at a time."""

    def frame_disparity(
        self, frames: Float[Array, "N H W 3"], view_mask: Bool[Array, "N H W"] | None = None
    ) -> Float[Array, "N h w"]:
        """The finest disparity of each frame."""
        ...


@runtime_checkable
class WindowNetwork(DepthNetwork, Protocol):
    """A network that looks at windows of up to 32 frames; features are a tree of arrays [N,...], frame by frame.

    `decode_tail(decode_coarse(encode(frames), T), features)` is `disparity`: the parts let inference encode frames
    that two windows share once, and decode only those that are looked at.
    """

    def encode(
        self, frames: Float[Array, "N H W 3"], view_mask: Bool[Array, "N H W"] | None = None
    ) -> PyTree[Float[Array, "N ..."]]:
        """Features: everything of each frame that depends on it alone."""
        ...

    def decode_coarse(self, features: PyTree[Float[Array, "N ..."]], length: int) -> Float[Array, "N ..."]:
        """The part in which the frames of each window of `length` see one another; windows are concatenated."""
        ...

    def decode_tail(
        self, coarse: Float[Array, "N ..."], features: PyTree[Float[Array, "N ..."]]
    ) -> Float[Array, "N h w"]:
        """The rest, frame by frame: disparity."""
        ...

    def decode_step(
        self, features: PyTree[Float[Array, "B ..."]], cache: Cache, positions: Int[Array, "S"]
    ) -> tuple[Float[Array, "B h w"], Cache]:
        """One frame of B live streams, which sees S earlier ones; `VideoDepth.decode_step` says what is kept."""
        ...

    def empty_cache(self, length: int, streams: int = 1) -> Cache:
        """Zeros of the shapes that `decode_step` takes for `length` earlier frames."""
        ...


@runtime_checkable
class LinearAdapter(Protocol):
    """An adapter of a linear layer, an `nnx.Module`."""

    def __call__(
        self,
        x: Float[Array, "*batch n_in"],
        product: Callable[[Array], Array],
        bias: Float[Array, "n_out"],
    ) -> Float[Array, "*batch n_out"]:
        """The output of the adapted layer.

        Args:
          x: the layer's input, in the dtype that it computes in.
          product: [..., n_in] -> [..., n_out], the frozen kernel's product.
          bias: the layer's, in the same type.
        """
        ...
