"""Video-Depth-Anything (Chen et al. 2025) and EndoDAV (Zhou et al. 2025): depth of a window of up to 32 frames."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from endodav_jax.geometry.resize import SCALES, halve_align_corners
from endodav_jax.models.config import MAX_FRAMES, DepthModelConfig
from endodav_jax.models.depth_input import network_input
from endodav_jax.models.dpt import DPTHead, FrameFeatures
from endodav_jax.models.interface import Cache
from endodav_jax.models.layers import Numerics, map_frames
from endodav_jax.models.motion_module import ATTENTIONS, CACHED, MotionModule, cache_shapes
from endodav_jax.models.vit import VisionTransformer


class VideoDPTHead(DPTHead):
    """The DPT head with a motion module on levels 3 and 4 and on the paths that come from them."""

    def __init__(self, config: DepthModelConfig, numerics: Numerics, remat: bool, rngs: nnx.Rngs):
        super().__init__(config, numerics, rngs)
        self.motion_modules = nnx.List(
            [MotionModule(channels, config, numerics, remat, rngs) for _, channels in cache_shapes(config)]
        )


class VideoDepth(nnx.Module):
    """Frames in [0, 1] of any size to affine-invariant inverse depth ("disparity") at `config.image_shape`.

    An `interface.WindowNetwork`.

    Args:
      config: of the network.
      rngs: of the initial weights.
      remat: recompute each ViT block, motion module and fine stage in the backward pass and keep only their
        inputs. For training; a forward pass is not changed.
    """

    def __init__(self, config: DepthModelConfig, rngs: nnx.Rngs, remat: bool = False):
        numerics = Numerics.of(config.precision)
        self.config = config
        self.remat = remat
        self.encoder = VisionTransformer(config, numerics, remat, rngs)
        self.head = VideoDPTHead(config, numerics, remat, rngs)

    def __call__(
        self, frames: Float[Array, "B T H W 3"], view_mask: Bool[Array, "B H W"] | None = None
    ) -> tuple[Float[Array, "B T _ _"], ...]:
        """Disparity float32 at four scales: the network's, halved thrice, or those of the four sigmoid heads."""
        features, length = self._encode_clips(frames, view_mask)
        path_4, path_3 = self._coarse(features, length)
        if self.config.head == "single":
            pyramid = [self.decode_tail(path_3, features)[..., None]]
            for _ in range(SCALES - 1):
                pyramid.append(halve_align_corners(pyramid[-1]))
            pyramid = [disparity[..., 0] for disparity in pyramid]
        else:

            def fine_heads(path_4, path_3, skip_2, skip_1):
                paths = (*reversed(self.head.fine(path_3, skip_2, skip_1)), path_3, path_4)
                return tuple(head(path) for head, path in zip(self.head.depth_heads, paths, strict=True))

            pyramid = map_frames(self._saved(fine_heads), path_4, path_3, features.skip_2, features.skip_1)
        return tuple(disparity.reshape(*frames.shape[:2], *disparity.shape[1:]) for disparity in pyramid)

    def disparity(
        self, frames: Float[Array, "B T H W 3"], view_mask: Bool[Array, "B H W"] | None = None
    ) -> Float[Array, "B T h w"]:
        """The finest disparity only, computing no more than it needs."""
        return self.decode(*self._encode_clips(frames, view_mask))

    def single_frames(self, frames: Float[Array, "N H W 3"], coarse: bool = False) -> Float[Array, "N h w"]:
        """Disparity of single frames, without the motion modules, as in Depth Anything, for pretraining.

        It is returned before the last ReLU, so that values below zero still receive gradients.

        Args:
          frames: in [0, 1].
          coarse: give it at the size of the head's finest path, 4/7 of the network's, where the last convolutions
            take a third of the work.
        """
        images = network_input(frames, None, self.config.image_shape, self.config.normalise)
        maps = self.encoder(images, self.encoder.positions(self.config.patch_grid), scan=True)
        features = self.head.frame_features(maps)
        _, path_3 = self.head.coarse(features, lambda _, x: x)
        _, path_1 = self.head.fine(path_3, features.skip_2, features.skip_1)
        return self.head.output.signed(path_1, path_1.shape[1:3] if coarse else self.config.image_shape)

    def encode(self, frames: Float[Array, "N H W 3"], view_mask: Bool[Array, "N H W"] | None = None) -> FrameFeatures:
        """Everything of each frame that depends on it alone: the encoder, and the head up to the motion modules."""
        if frames.ndim != 4 or frames.shape[-1] != 3:
            raise ValueError(f"frames: expected [N,H,W,3], got {frames.shape}")
        positions = self.encoder.positions(self.config.patch_grid)

        def one_group(frames, view_mask):
            images = network_input(frames, view_mask, self.config.image_shape, self.config.normalise)
            return self._saved(self.head.frame_features)(self.encoder(images, positions))

        return map_frames(one_group, frames, view_mask)

    def decode(self, features: FrameFeatures, length: int) -> Float[Array, "B T h w"]:
        """Disparity float32 of B windows of `length` frames, from their features one after the other [B*T,...]."""
        disparity = self.decode_tail(self.decode_coarse(features, length), features)
        return disparity.reshape(-1, length, *disparity.shape[1:])

    def decode_coarse(self, features: FrameFeatures, length: int) -> Float[Array, "N h2 w2 F"]:
        """The part of `decode` in which the frames of a window see one another: path 3."""
        return self._coarse(features, length)[1]

    def decode_tail(self, path_3: Float[Array, "N h2 w2 F"], features: FrameFeatures) -> Float[Array, "N h w"]:
        """The rest of `decode`, frame by frame, so that it can be run on any subset of a window's frames."""
        return map_frames(self._saved(self._tail), path_3, features.skip_2, features.skip_1)

    def decode_step(
        self, features: FrameFeatures, cache: Cache, positions: Int[Array, "S"]
    ) -> tuple[Float[Array, "B h w"], Cache]:
        """One frame of B live streams, which sees S < 32 earlier frames and is seen by none of them.

        Args:
          features: of one frame of each stream [B,...].
          cache: sixteen arrays [S,B*h*w,C] (`empty_cache` for their shapes), four for each motion module.
          positions: 0 ... S-1 in any order: the place in time of each entry, so that a ring buffer need not move.

        Returns:
          disparity float32, and the frame's own sixteen entries [B*h*w,C].
        """
        entries: list[Array] = []

        def temporal(index: int, x: Array) -> Array:
            own = cache[ATTENTIONS * CACHED * index : ATTENTIONS * CACHED * (index + 1)]
            x, new = self.head.motion_modules[index].step(x, own, positions)
            entries.extend(new)
            return x

        _, path_3 = self.head.coarse(features, temporal)
        return self._tail(path_3, features.skip_2, features.skip_1), tuple(entries)

    def empty_cache(self, length: int, streams: int = 1) -> Cache:
        """Zeros of the shapes that `decode_step` takes for `length` earlier frames, in the network's precision."""
        return empty_cache(self.config, length, streams)

    def _encode_clips(self, frames: Array, view_mask: Array | None) -> tuple[FrameFeatures, int]:
        if frames.ndim != 5 or frames.shape[-1] != 3:
            raise ValueError(f"frames: expected [B,T,H,W,3], got {frames.shape}")
        batch, length = frames.shape[:2]
        if view_mask is not None:
            view_mask = jnp.repeat(view_mask, length, axis=0)
        return self.encode(frames.reshape(batch * length, *frames.shape[2:]), view_mask), length

    def _coarse(self, features: FrameFeatures, length: int) -> tuple[Array, Array]:
        if length > MAX_FRAMES:
            raise ValueError(f"a window has at most {MAX_FRAMES} frames, got {length}")
        return self.head.coarse(features, lambda index, x: self.head.motion_modules[index](x, length))

    def _tail(self, path_3: Array, skip_2: Array, skip_1: Array) -> Float[Array, "N h w"]:
        _, path_1 = self.head.fine(path_3, skip_2, skip_1)
        if self.config.head == "single":
            return self.head.output(path_1, self.config.image_shape)
        return self.head.depth_heads[0](path_1)

    def _saved(self, function):
        return jax.checkpoint(function) if self.remat else function


def empty_cache(config: DepthModelConfig, length: int, streams: int = 1) -> Cache:
    """Zeros of the shapes `VideoDepth.decode_step` takes for `length` earlier frames, in the network's precision."""
    dtype = Numerics.of(config.precision).dtype
    return tuple(
        jnp.zeros((length, streams * height * width, channels), dtype)
        for (height, width), channels in cache_shapes(config)
        for _ in range(ATTENTIONS * CACHED)
    )
