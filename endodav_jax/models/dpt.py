"""The DPT head (Ranftl et al. 2021) in Depth Anything's variant: four token maps to disparity.

The part that depends on one frame alone (`frame_features`) is separate from the part that first uses other frames
(`coarse`, with the temporal modules passed in) and from the fine levels, which are per frame again (`fine`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from endodav_jax.geometry.resize import Size, resize_align_corners
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.layers import Numerics, torch_uniform

OUTPUT_WIDTH = 32  # channels before the last 1x1 convolution


class FrameFeatures(NamedTuple):
    """Everything the head knows of a frame before it looks at others; h x w is the patch grid, F the head's width.

    Attributes:
      level_3, level_4: [N,h,w,C3], [N,ceil(h/2),ceil(w/2),C4], resized token maps before the motion modules.
      skip_2, skip_1: [N,2h,2w,F], [N,4h,4w,F], what the fine fusions add to the path from below.
    """

    level_3: Float[Array, "N h w C3"]
    level_4: Float[Array, "N h2 w2 C4"]
    skip_2: Float[Array, "N 2*h 2*w F"]
    skip_1: Float[Array, "N 4*h 4*w F"]


class PatchUpsample(nnx.Module):
    """Transposed convolution whose stride is its size: each pixel becomes a k x k patch."""

    def __init__(self, channels: int, size: int, numerics: Numerics, rngs: nnx.Rngs):
        conv = numerics.conv(channels, channels, size, rngs)
        assert conv.bias is not None
        self.kernel, self.bias = conv.kernel, conv.bias
        self.numerics = numerics

    def __call__(self, x: Float[Array, "N h w C"]) -> Float[Array, "N kh kw C"]:
        n, height, width, channels = x.shape
        dtype = self.numerics.dtype
        kernel = self.kernel[...].astype(dtype)
        size = kernel.shape[0]
        y = jnp.einsum("nhwc,ijco->nhiwjo", x.astype(dtype), kernel, precision=self.numerics.precision)
        return y.reshape(n, size * height, size * width, channels) + self.bias[...].astype(dtype)


class ResidualConvUnit(nnx.Module):
    """x + conv(relu(conv(relu(x)))), 3x3."""

    def __init__(self, features: int, numerics: Numerics, rngs: nnx.Rngs):
        self.conv1 = numerics.conv(features, features, 3, rngs)
        self.conv2 = numerics.conv(features, features, 3, rngs)

    def __call__(self, x: Float[Array, "N h w F"]) -> Float[Array, "N h w F"]:
        return x + self.conv2(jax.nn.relu(self.conv1(jax.nn.relu(x))))


class Fusion(nnx.Module):
    """Adds a level to the path from below and brings the sum to the next level's size.

    The first residual unit, `unit1`, is for the level and is called by `DPTHead.frame_features`; the coarsest
    fusion has no path from below, so its `unit1` is in checkpoints and in the counts, and is never used.
    """

    def __init__(self, features: int, numerics: Numerics, rngs: nnx.Rngs):
        self.unit1 = ResidualConvUnit(features, numerics, rngs)
        self.unit2 = ResidualConvUnit(features, numerics, rngs)
        self.out_conv = numerics.conv(features, features, 1, rngs)

    def __call__(self, x: Float[Array, "N h w F"], shape: Size) -> Float[Array, "N height width F"]:
        # Published: resize, then the 1x1 convolution.  The two commute, since the resize's weights sum to one,
        # and this way round the convolution has a quarter of the pixels.
        return resize_align_corners(self.out_conv(self.unit2(x)), shape)


class OutputConvolutions(nnx.Module):
    """The single head: non-negative disparity at the network's input size, its last part in float32."""

    def __init__(self, features: int, numerics: Numerics, rngs: nnx.Rngs):
        full = Numerics.of("float32")
        self.conv1 = numerics.conv(features, features // 2, 3, rngs)
        self.conv2 = full.conv(features // 2, OUTPUT_WIDTH, 3, rngs)
        self.conv3 = full.conv(OUTPUT_WIDTH, 1, 1, rngs)
        # A random output is as likely as not negative everywhere, and its ReLU would then block all gradients.
        self.conv3.bias = nnx.Param(jnp.ones((1,), jnp.float32))

    def __call__(self, x: Float[Array, "N h w F"], shape: Size) -> Float[Array, "N height width"]:
        return jax.nn.relu(self.signed(x, shape))

    def signed(self, x: Float[Array, "N h w F"], shape: Size) -> Float[Array, "N height width"]:
        """Disparity before its ReLU."""
        x = resize_align_corners(self.conv1(x), shape).astype(jnp.float32)
        return self.conv3(jax.nn.relu(self.conv2(x)))[..., 0]


class DepthHead(nnx.Module):
    """One of four sigmoid heads: disparity in (0, 1) at twice its input's size, its last part in float32."""

    def __init__(self, features: int, numerics: Numerics, rngs: nnx.Rngs):
        full = Numerics.of("float32")
        self.conv1 = numerics.conv(features, features // 2, 3, rngs)
        self.conv2 = full.conv(features // 2, OUTPUT_WIDTH, 3, rngs)
        self.conv3 = full.conv(OUTPUT_WIDTH, 1, 1, rngs)

    def __call__(self, x: Float[Array, "N h w F"]) -> Float[Array, "N 2*h 2*w"]:
        shape = (2 * x.shape[1], 2 * x.shape[2])
        x = resize_align_corners(self.conv1(x), shape).astype(jnp.float32)
        return jax.nn.sigmoid(self.conv3(jax.nn.relu(self.conv2(x))))[..., 0]


class DPTHead(nnx.Module):
    """The head without its temporal part, which is passed to `coarse`."""

    def __init__(self, config: DepthModelConfig, numerics: Numerics, rngs: nnx.Rngs):
        width, features = config.backbone.width, config.backbone.head_features
        channels = config.backbone.head_channels
        self.projects = nnx.List([numerics.linear(width, c, rngs, kernel_init=None) for c in channels])
        self.upsample_1 = PatchUpsample(channels[0], 4, numerics, rngs)
        self.upsample_2 = PatchUpsample(channels[1], 2, numerics, rngs)
        self.downsample_4 = numerics.conv(channels[3], channels[3], 3, rngs, stride=2)
        self.level_convs = nnx.List(
            [numerics.conv(c, features, 3, rngs, use_bias=False, kernel_init=torch_uniform) for c in channels]
        )
        self.fusions = nnx.List([Fusion(features, numerics, rngs) for _ in channels])
        if config.head == "single":
            self.output = OutputConvolutions(features, numerics, rngs)
        else:
            self.depth_heads = nnx.List([DepthHead(features, numerics, rngs) for _ in channels])

    def frame_features(self, maps: tuple[Float[Array, "N h w D"], ...]) -> FrameFeatures:
        """The part of the head that sees each frame alone."""
        levels = [project(x) for project, x in zip(self.projects, maps, strict=True)]
        fine = (self.upsample_1(levels[0]), self.upsample_2(levels[1]))
        skip_1, skip_2 = (self.fusions[i].unit1(self.level_convs[i](x)) for i, x in enumerate(fine))
        return FrameFeatures(levels[2], self.downsample_4(levels[3]), skip_2, skip_1)

    def coarse(
        self, features: FrameFeatures, temporal: Callable[[int, Array], Array]
    ) -> tuple[Float[Array, "N h w F"], Float[Array, "N h2 w2 F"]]:
        """The paths of levels 4 and 3.

        Args:
          features: of N frames.
          temporal: (index, map [N,h,w,C]) -> map; called for level 3, level 4, path 4, path 3 as index 0..3.
        """
        level_3 = self.level_convs[2](temporal(0, features.level_3))
        level_4 = self.level_convs[3](temporal(1, features.level_4))
        path_4 = temporal(2, self.fusions[3](level_4, _size(level_3)))
        path_3 = path_4 + self.fusions[2].unit1(level_3)
        path_3 = temporal(3, self.fusions[2](path_3, _size(features.skip_2)))
        return path_4, path_3

    def fine(
        self, path_3: Float[Array, "N h w F"], skip_2: Array, skip_1: Array
    ) -> tuple[Float[Array, "N 2*h 2*w F"], Float[Array, "N 4*h 4*w F"]]:
        """The paths of levels 2 and 1."""
        path_2 = self.fusions[1](path_3 + skip_2, _size(skip_1))
        path_1 = self.fusions[0](path_2 + skip_1, (2 * skip_1.shape[1], 2 * skip_1.shape[2]))
        return path_2, path_1


def _size(x: Float[Array, "N h w C"]) -> tuple[int, int]:
    return x.shape[1], x.shape[2]
