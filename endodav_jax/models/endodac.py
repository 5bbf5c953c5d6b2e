"""EndoDAC (Cui et al. 2024): Depth Anything on endoscopic frames one at a time, adapted by DV-LoRA.

With `head="single"`, no adapter and no residual blocks it is Depth Anything's own image network.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from endodav_jax.geometry.resize import SCALES, halve_align_corners
from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.depth_input import network_input
from endodav_jax.models.dpt import DPTHead
from endodav_jax.models.layers import Numerics, map_frames
from endodav_jax.models.vit import VisionTransformer


class EndoDAC(nnx.Module):
    """Frames in [0, 1] of any size to disparity, an `interface.FrameNetwork`; a clip is just a batch of frames.

    The finest map is 16/14 of `config.image_shape` with four heads, and `config.image_shape` with a single one.
    Arguments are as for `VideoDepth`.
    """

    def __init__(self, config: DepthModelConfig, rngs: nnx.Rngs, remat: bool = False):
        numerics = Numerics.of(config.precision)
        self.config = config
        self.remat = remat
        self.encoder = VisionTransformer(config, numerics, remat, rngs)
        self.head = DPTHead(config, numerics, rngs)

    def __call__(
        self, frames: Float[Array, "B T H W 3"], view_mask: Bool[Array, "B H W"] | None = None
    ) -> tuple[Float[Array, "B T _ _"], ...]:
        """Disparity float32 at four scales: those of the four sigmoid heads, or the single one's halved thrice."""
        frames, view_mask, clips = _flatten(frames, view_mask)
        pyramid = self._run(frames, view_mask, SCALES)
        return tuple(disparity.reshape(*clips, *disparity.shape[1:]) for disparity in pyramid)

    def disparity(
        self, frames: Float[Array, "B T H W 3"], view_mask: Bool[Array, "B H W"] | None = None
    ) -> Float[Array, "B T h w"]:
        """The finest disparity only."""
        frames, view_mask, clips = _flatten(frames, view_mask)
        disparity = self.frame_disparity(frames, view_mask)
        return disparity.reshape(*clips, *disparity.shape[1:])

    def frame_disparity(
        self, frames: Float[Array, "N H W 3"], view_mask: Bool[Array, "N H W"] | None = None
    ) -> Float[Array, "N h w"]:
        """The finest disparity of each frame."""
        if frames.ndim != 4 or frames.shape[-1] != 3:
            raise ValueError(f"frames: expected [N,H,W,3], got {frames.shape}")
        return self._run(frames, view_mask, 1)[0]

    def _run(self, frames: Array, view_mask: Array | None, scales: int) -> tuple[Array, ...]:
        positions = self.encoder.positions(self.config.patch_grid)

        def one_group(frames, view_mask):
            images = network_input(frames, view_mask, self.config.image_shape, self.config.normalise)
            maps = self.encoder(images, positions)
            return jax.checkpoint(read_out)(maps) if self.remat else read_out(maps)

        def read_out(maps):
            features = self.head.frame_features(maps)
            path_4, path_3 = self.head.coarse(features, lambda _, x: x)
            path_2, path_1 = self.head.fine(path_3, features.skip_2, features.skip_1)
            if self.config.head == "multi":
                paths = (path_1, path_2, path_3, path_4)[:scales]
                return tuple(head(path) for head, path in zip(self.head.depth_heads, paths, strict=False))
            pyramid = [self.head.output(path_1, self.config.image_shape)[..., None]]
            for _ in range(scales - 1):
                pyramid.append(halve_align_corners(pyramid[-1]))
            return tuple(disparity[..., 0] for disparity in pyramid)

        return map_frames(one_group, frames, view_mask)


def _flatten(frames: Array, view_mask: Array | None) -> tuple[Array, Array | None, tuple[int, int]]:
    if frames.ndim != 5 or frames.shape[-1] != 3:
        raise ValueError(f"frames: expected [B,T,H,W,3], got {frames.shape}")
    batch, length = frames.shape[:2]
    if view_mask is not None:
        view_mask = jnp.repeat(view_mask, length, axis=0)
    return frames.reshape(batch * length, *frames.shape[2:]), view_mask, (batch, length)
