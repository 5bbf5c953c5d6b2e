"""ResNet encoders (He et al. 2016; torchvision's variant) on one or more stacked frames, with five feature levels."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from endodav_jax.models.layers import Numerics, he_normal_out, kept
from endodav_jax.models.norms import BatchNorm

BOTTLENECK_RATIO = 4
CLASSES = 1000  # of ImageNet
PUBLISHED_LAYERS = 18  # of the motion networks of EndoDAV and EndoDAC


@dataclasses.dataclass(frozen=True)
class ResNetSize:
    """What a ResNet is made of, and the decoder that belongs to it.

    Attributes:
      blocks: of each stage.
      widths: of each stage, before a bottleneck's fourfold output.
      bottleneck: whether its steps are bottlenecks.
      stem: channels of the first convolution.
      decoder: channels of a U-Net decoder's levels, from the finest.
      pose: channels of the pose decoder.
    """

    blocks: tuple[int, int, int, int]
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    bottleneck: bool = False
    stem: int = 64
    decoder: tuple[int, int, int, int, int] = (16, 32, 64, 128, 256)
    pose: int = 256


RESNETS = {
    # Our own narrow one, for the embedded default: its three networks have 0.9 million parameters.
    10: ResNetSize((1, 1, 1, 1), (16, 32, 48, 64), stem=16, decoder=(16, 16, 24, 32, 48), pose=64),
    18: ResNetSize((2, 2, 2, 2)),
    34: ResNetSize((3, 4, 6, 3)),
    50: ResNetSize((3, 4, 6, 3), bottleneck=True),
}


class ConvNorm(nnx.Module):
    """Convolution without bias, then batch norm."""

    def __init__(self, n_in, n_out, size, stride, numerics: Numerics, axis_name: str | None, rngs: nnx.Rngs):
        self.conv = numerics.conv(n_in, n_out, size, rngs, stride=stride, use_bias=False, kernel_init=he_normal_out)
        self.norm = BatchNorm(n_out, axis_name)

    def __call__(self, x: Float[Array, "B H W C"], train: bool, keep: bool = False) -> Float[Array, "B h w D"]:
        x = self.conv(x)
        return self.norm(kept(x) if keep else x, train)


class ResidualStep(nnx.Module):
    """Input plus two 3x3 convolutions, or with `bottleneck` 1x1, 3x3 (which strides), 1x1 to four times the width."""

    def __init__(self, n_in: int, width: int, stride: int, bottleneck: bool, make: Callable[..., ConvNorm]):
        if bottleneck:
            n_out = BOTTLENECK_RATIO * width
            steps = [make(n_in, width, 1, 1), make(width, width, 3, stride), make(width, n_out, 1, 1)]
        else:
            n_out = width
            steps = [make(n_in, width, 3, stride), make(width, width, 3, 1)]
        self.steps = nnx.List(steps)
        self.shortcut = make(n_in, n_out, 1, stride) if stride != 1 or n_in != n_out else None
        self.n_out = n_out

    def __call__(self, x: Float[Array, "B H W C"], train: bool, keep: bool) -> Float[Array, "B h w D"]:
        y = x
        for i, step in enumerate(self.steps):
            y = step(jax.nn.relu(y) if i else y, train, keep)
        return jax.nn.relu(y + (x if self.shortcut is None else self.shortcut(x, train)))


class ResNet(nnx.Module):
    """Encoder of `images` stacked RGB frames, not normalised.

    `classifier` is part of published checkpoints and is used by nothing here.

    Args:
      layers: a key of `RESNETS`.
      images: how many frames are stacked.
      numerics: precision of the convolutions.
      axis_name: see `BatchNorm`.
      rngs: of the initial weights.
    """

    def __init__(self, layers: int, images: int, numerics: Numerics, axis_name: str | None, rngs: nnx.Rngs):
        if layers not in RESNETS:
            raise ValueError(f"ResNet has {', '.join(map(str, RESNETS))} layers, not {layers}")
        size = RESNETS[layers]
        make = functools.partial(ConvNorm, numerics=numerics, axis_name=axis_name, rngs=rngs)
        self.numerics = numerics
        self.stem = make(3 * images, size.stem, 7, 2)
        stages, n_in = [], size.stem
        for number, (blocks, width) in enumerate(zip(size.blocks, size.widths, strict=True)):
            stage = []
            for i in range(blocks):
                stride = 2 if number and i == 0 else 1
                stage.append(ResidualStep(n_in, width, stride, size.bottleneck, make))
                n_in = stage[-1].n_out
            stages.append(nnx.List(stage))
        self.stages = nnx.List(stages)
        self.classifier = Numerics.of("float32").linear(n_in, CLASSES, rngs)
        self.widths = (size.stem, *(stage[-1].n_out for stage in stages))

    def __call__(self, images: Float[Array, "B H W K"], train: bool) -> list[Float[Array, "B _ _ _"]]:
        """Features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size, `widths` channels each.

        Maps shrink from stage to stage but the work does not: after the first, convolutions are done once (`kept`).
        """
        features = [jax.nn.relu(self.stem(images.astype(self.numerics.dtype), train))]
        x = _halving_max(_halving_max(features[0], 1), 2)
        for i, stage in enumerate(self.stages):
            for step in stage:
                x = step(x, train, keep=i > 0)
            features.append(x)
        return features


def _halving_max(x: Float[Array, "B H W C"], axis: int) -> Float[Array, "B h w C"]:
    """Maximum of every second element and its two neighbours; along both axes, pooling of 3x3 windows with stride 2.

    On CPUs, a pooling's derivative is several times slower than that of shifted copies.  It differs in windows with
    equal maxima: here they share their gradient; PyTorch gives it to the first.  After ReLU such maxima are zeros,
    which pass no gradient on.
    """
    n = x.shape[axis]
    padded = jnp.pad(x, [(1, 1) if i == axis else (0, 0) for i in range(x.ndim)], constant_values=-jnp.inf)
    shifted = [jax.lax.slice_in_dim(padded, i, i + n, 2, axis) for i in range(3)]
    return jnp.maximum(jnp.maximum(shifted[0], shifted[1]), shifted[2])


def last_width(layers: int) -> int:
    """Channels of the coarsest level."""
    size = RESNETS[layers]
    return size.widths[-1] * (BOTTLENECK_RATIO if size.bottleneck else 1)


def stacked_stem(kernel: Float[Array, "7 7 3 C"], images: int) -> Float[Array, "7 7 K C"]:
    """ImageNet's first kernel for stacked frames: duplicated and divided, so that equal frames act like one."""
    return jnp.concatenate([jnp.asarray(kernel)] * images, axis=2) / images
