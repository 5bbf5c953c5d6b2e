"""Optical flow and brightness change between two frames, each a ResNet with a U-Net decoder (AF-SfMLearner)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Float

from endodav_jax.geometry.padding import reflect_border
from endodav_jax.geometry.resize import SCALES, upsample_half_pixel
from endodav_jax.models.layers import Numerics, kept, map_frames
from endodav_jax.models.resnet import PUBLISHED_LAYERS, RESNETS, ResNet

FINE_LEVELS = 2  # of the decoder, at 1 and 1/2 of the image
FINE_BYTES = 2**24  # of the encoder's finest level, for as many frames as go through those together
FLOW_DEVIATION = 1e-5  # of the flow heads' first weights, so that flow starts at nothing

Head = Callable[[int, Float[Array, "B h w C"]], Float[Array, "B h w D"]]


def reflected(conv: nnx.Conv, x: Float[Array, "B H W C"]) -> Float[Array, "B H W D"]:
    """A 3x3 convolution, made with padding 0, of the image reflected at its edges."""
    return conv(reflect_border(x))


class UNetDecoder(nnx.Module):
    """From the coarsest level up: convolve, double, join the encoder's level, convolve; a head on the finest four.

    No level mixes frames.  On a CPU the finest two, whose maps are as large as all others together, are run for a few
    frames at a time and rerun for the derivative, so that they stay in the cache and need not be kept.  Maps of the
    other levels are kept.
    """

    def __init__(self, encoder: tuple[int, ...], widths: tuple[int, ...], numerics: Numerics, rngs: nnx.Rngs):
        before, after = [], []
        for i, n_out in enumerate(widths):
            n_in = encoder[-1] if i == len(widths) - 1 else widths[i + 1]
            before.append(numerics.conv(n_in, n_out, 3, rngs, padding=0))
            after.append(numerics.conv(n_out + (encoder[i - 1] if i else 0), n_out, 3, rngs, padding=0))
        self.before, self.after = nnx.List(before), nnx.List(after)

    def __call__(self, features: list[Float[Array, "B _ _ _"]], head: Head) -> tuple[Float[Array, "B _ _ D"], ...]:
        """Returns `head(scale, map)` for the maps at scales 1, 1/2, 1/4, 1/8 of the image (`scale` 0 to 3)."""
        x, outputs = features[-1], []
        for i in reversed(range(FINE_LEVELS, len(self.before))):
            x = self._level(i, x, features[i - 1], kept)
            if i < SCALES:
                outputs.append(head(i, x))

        def fine(x, skip):
            x = self._level(1, x, skip)
            return head(0, self._level(0, x, None)), head(1, x)

        frame_bytes = features[0][0].nbytes
        fine_outputs = map_frames(fine, x, features[0], frames=max(1, FINE_BYTES // frame_bytes), remat=True)
        return (*fine_outputs, *reversed(outputs))

    def _level(self, i: int, x: Array, skip: Array | None, keep: Callable[[Array], Array] = lambda x: x) -> Array:
        x = upsample_half_pixel(jax.nn.elu(keep(reflected(self.before[i], x))))
        if skip is not None:
            x = jnp.concatenate([x, skip], -1)
        return jax.nn.elu(keep(reflected(self.after[i], x)))


class FlowNet(nnx.Module):
    """Optical flow of two frames; in the published program the "position" network."""

    def __init__(
        self, rngs: nnx.Rngs, *, layers: int = PUBLISHED_LAYERS, numerics: Numerics, axis_name: str | None = None
    ):
        full = Numerics.of("float32")
        init = initializers.normal(FLOW_DEVIATION)
        self.encoder = ResNet(layers, 2, numerics, axis_name, rngs)
        widths = RESNETS[layers].decoder
        self.decoder = UNetDecoder(self.encoder.widths, widths, numerics, rngs)
        self.heads = nnx.List([full.conv(n, 2, 3, rngs, kernel_init=init) for n in widths[:SCALES]])

    def __call__(
        self, first: Float[Array, "B H W 3"], second: Float[Array, "B H W 3"], train: bool
    ) -> tuple[Float[Array, "B _ _ 2"], ...]:
        """Flow (y, x) float32 in pixels of the full size at scales 1, 1/2, 1/4, 1/8, from frames in [0, 1]."""
        features = self.encoder(jnp.concatenate([first, second], -1), train)
        return self.decoder(features, lambda scale, x: self.heads[scale](x.astype(jnp.float32)))


class TransformNet(nnx.Module):
    """Change of brightness and colour between two aligned frames (the appearance flow)."""

    def __init__(
        self, rngs: nnx.Rngs, *, layers: int = PUBLISHED_LAYERS, numerics: Numerics, axis_name: str | None = None
    ):
        full = Numerics.of("float32")
        self.encoder = ResNet(layers, 2, numerics, axis_name, rngs)
        widths = RESNETS[layers].decoder
        self.decoder = UNetDecoder(self.encoder.widths, widths, numerics, rngs)
        self.heads = nnx.List([full.conv(n, 3, 3, rngs, padding=0) for n in widths[:SCALES]])

    def __call__(
        self, first: Float[Array, "B H W 3"], second: Float[Array, "B H W 3"], train: bool
    ) -> tuple[Float[Array, "B _ _ 3"], ...]:
        """What to add to colours, float32 in (-1, 1), at scales 1, 1/2, 1/4, 1/8, from frames in [0, 1]."""
        features = self.encoder(jnp.concatenate([first, second], -1), train)
        return self.decoder(features, lambda scale, x: jnp.tanh(reflected(self.heads[scale], x.astype(jnp.float32))))
