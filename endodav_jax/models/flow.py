"""Optical flow and brightness change between two frames, each a ResNet with a U-Net decoder (AF-SfMLearner)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Float

from endodav_jax.geometry.padding import reflect_border
from endodav_jax.geometry.resize import upsample_half_pixel
from endodav_jax.models.layers import Numerics
from endodav_jax.models.resnet import RESNETS, ResNet

SCALES = 4
FLOW_DEVIATION = 1e-5  # of the flow heads' first weights, so that flow starts at nothing


def reflected(conv: nnx.Conv, x: Float[Array, "B H W C"]) -> Float[Array, "B H W D"]:
    """A 3x3 convolution, made with padding 0, of the image reflected at its edges."""
    return conv(reflect_border(x))


class UNetDecoder(nnx.Module):
    """From the coarsest level up: convolve, double, join the encoder's level, convolve."""

    def __init__(self, encoder: tuple[int, ...], widths: tuple[int, ...], numerics: Numerics, rngs: nnx.Rngs):
        before, after = [], []
        for i, n_out in enumerate(widths):
            n_in = encoder[-1] if i == len(widths) - 1 else widths[i + 1]
            before.append(numerics.conv(n_in, n_out, 3, rngs, padding=0))
            after.append(numerics.conv(n_out + (encoder[i - 1] if i else 0), n_out, 3, rngs, padding=0))
        self.before, self.after = nnx.List(before), nnx.List(after)

    def __call__(self, features: list[Float[Array, "B h w C"]]) -> list[Float[Array, "B H W D"]]:
        """Maps at scales 1, 1/2, 1/4, 1/8 of the image."""
        x, maps = features[-1], []
        for i in reversed(range(len(self.before))):
            x = upsample_half_pixel(jax.nn.elu(reflected(self.before[i], x)))
            if i:
                x = jnp.concatenate([x, features[i - 1]], -1)
            x = jax.nn.elu(reflected(self.after[i], x))
            maps.append(x)
        return maps[::-1][:SCALES]


class FlowNet(nnx.Module):
    """Optical flow of two frames; in the published program the "position" network."""

    def __init__(self, rngs: nnx.Rngs, *, layers: int = 18, numerics: Numerics, axis_name: str | None = None):
        full = Numerics.of("float32")
        init = initializers.normal(FLOW_DEVIATION)
        self.encoder = ResNet(layers, 2, numerics, axis_name, rngs)
        widths = RESNETS[layers].decoder
        self.decoder = UNetDecoder(self.encoder.widths, widths, numerics, rngs)
        self.heads = nnx.List([full.conv(n, 2, 3, rngs, kernel_init=init) for n in widths[:SCALES]])

    def __call__(
        self, first: Float[Array, "B H W 3"], second: Float[Array, "B H W 3"], train: bool
    ) -> tuple[Float[Array, "B h w 2"], ...]:
        """Flow (y, x) float32 in pixels of the full size at scales 1, 1/2, 1/4, 1/8, from frames in [0, 1]."""
        maps = self.decoder(self.encoder(jnp.concatenate([first, second], -1), train))
        return tuple(head(x.astype(jnp.float32)) for head, x in zip(self.heads, maps, strict=True))


class TransformNet(nnx.Module):
    """Change of brightness and colour between two aligned frames (the appearance flow)."""

    def __init__(self, rngs: nnx.Rngs, *, layers: int = 18, numerics: Numerics, axis_name: str | None = None):
        full = Numerics.of("float32")
        self.encoder = ResNet(layers, 2, numerics, axis_name, rngs)
        widths = RESNETS[layers].decoder
        self.decoder = UNetDecoder(self.encoder.widths, widths, numerics, rngs)
        self.heads = nnx.List([full.conv(n, 3, 3, rngs, padding=0) for n in widths[:SCALES]])

    def __call__(
        self, first: Float[Array, "B H W 3"], second: Float[Array, "B H W 3"], train: bool
    ) -> tuple[Float[Array, "B h w 3"], ...]:
        """What to add to colours, float32 in (-1, 1), at scales 1, 1/2, 1/4, 1/8, from frames in [0, 1]."""
        maps = self.decoder(self.encoder(jnp.concatenate([first, second], -1), train))
        pairs = zip(self.heads, maps, strict=True)
        return tuple(jnp.tanh(reflected(head, x.astype(jnp.float32))) for head, x in pairs)
