"""Camera motion between two frames, and the camera's intrinsics, from one ResNet (Monodepth2; EndoDAC)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from endodav_jax.models.layers import Numerics
from endodav_jax.models.resnet import PUBLISHED_LAYERS, RESNETS, ResNet, last_width

MOTION_SCALE = 0.001  # keeps the first motions small
MOTIONS = 2  # that the last layer has room for; only the first is used


class Motion(NamedTuple):
    """The motion between two frames.

    Attributes:
      axis_angle: [B,3] radians, rotation of the camera.
      translation: [B,3], in the unit of depth.
      features: [B,h,w,D], from which `IntrinsicsHead` reads the intrinsics.
    """

    axis_angle: Float[Array, "B 3"]
    translation: Float[Array, "B 3"]
    features: Float[Array, "B h w D"]


class PoseDecoder(nnx.Module):
    """Four convolutions on the encoder's coarsest level."""

    def __init__(self, n_in: int, width: int, numerics: Numerics, rngs: nnx.Rngs):
        self.squeeze = numerics.conv(n_in, width, 1, rngs)
        self.conv0 = numerics.conv(width, width, 3, rngs)
        self.conv1 = numerics.conv(width, width, 3, rngs)
        self.conv2 = Numerics.of("float32").conv(width, 6 * MOTIONS, 1, rngs)

    def __call__(self, x: Float[Array, "B h w C"]) -> Motion:
        x = jax.nn.relu(self.conv0(jax.nn.relu(self.squeeze(x))))
        features = self.conv1(x).astype(jnp.float32)
        motion = MOTION_SCALE * self.conv2(jax.nn.relu(features)).mean((1, 2))
        return Motion(motion[:, :3], motion[:, 3:6], features)


class PoseNet(nnx.Module):
    """ResNet on two stacked frames and the pose decoder."""

    def __init__(
        self, rngs: nnx.Rngs, *, layers: int = PUBLISHED_LAYERS, numerics: Numerics, axis_name: str | None = None
    ):
        self.encoder = ResNet(layers, 2, numerics, axis_name, rngs)
        self.decoder = PoseDecoder(self.encoder.widths[-1], RESNETS[layers].pose, numerics, rngs)

    def __call__(self, first: Float[Array, "B H W 3"], second: Float[Array, "B H W 3"], train: bool) -> Motion:
        """Motion from two frames in [0, 1], in the order the published program stacks them."""
        return self.decoder(self.encoder(jnp.concatenate([first, second], -1), train)[-1])


class IntrinsicsHead(nnx.Module):
    """Intrinsics from the pose decoder's features.

    `squeeze` is part of published checkpoints and is used by nothing here.
    """

    def __init__(self, rngs: nnx.Rngs, *, layers: int = PUBLISHED_LAYERS):
        numerics = Numerics.of("float32")
        width = RESNETS[layers].pose
        self.squeeze = numerics.conv(last_width(layers), width, 1, rngs)
        self.focal = numerics.linear(width, 2, rngs, use_bias=False)
        self.offset = numerics.linear(width, 2, rngs, use_bias=False)

    def __call__(self, features: Float[Array, "B h w D"], height: int, width: int) -> Float[Array, "B 4"]:
        """(fx, fy, cx, cy) in pixels of frames of `height` x `width`, from `Motion.features`."""
        pooled = features.astype(jnp.float32).mean((1, 2))
        size = jnp.array([width, height], jnp.float32)
        focal = (jax.nn.softplus(self.focal(pooled)) + 0.5) * size
        centre = (self.offset(pooled) + 0.5) * size
        return jnp.concatenate([focal, centre], -1)
