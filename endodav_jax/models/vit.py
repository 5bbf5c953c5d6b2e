"""DINOv2's vision transformer (Oquab et al. 2023), patch 14, with adapters and EndoDAC's residual blocks."""

import functools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Float

from endodav_jax.geometry.resize import resize_position_grid
from endodav_jax.models.adapters import AdaptedLinear
from endodav_jax.models.attention import attention
from endodav_jax.models.config import PATCH_SIZE, DepthModelConfig
from endodav_jax.models.layers import Numerics, he_normal_out

EPSILON = 1e-6
POSITION_GRID = (37, 37)  # of a 518 x 518 image, the size at the end of DINOv2's training
MLP_RATIO = 4
RESIDUAL_REDUCTION = 8
INIT_DEVIATION = 0.02

gelu = functools.partial(jax.nn.gelu, approximate=False)
normal_init = initializers.normal(INIT_DEVIATION)


class PatchEmbedding(nnx.Module):
    """A linear map of each 14 x 14 patch; written as a matrix product, the kernel as a convolution's."""

    def __init__(self, width: int, numerics: Numerics, rngs: nnx.Rngs):
        conv = numerics.conv(3, width, PATCH_SIZE, rngs, stride=PATCH_SIZE, padding=0)
        assert conv.bias is not None
        self.kernel, self.bias = conv.kernel, conv.bias
        self.numerics = numerics

    def __call__(self, images: Float[Array, "N H W 3"]) -> Float[Array, "N L D"]:
        """Tokens of the patches, row by row."""
        n, height, width, _ = images.shape
        rows, columns = height // PATCH_SIZE, width // PATCH_SIZE
        patches = images.reshape(n, rows, PATCH_SIZE, columns, PATCH_SIZE, 3).swapaxes(2, 3)
        patches = patches.reshape(n, rows * columns, -1).astype(self.numerics.dtype)
        kernel = self.kernel[...].astype(self.numerics.dtype)
        tokens = jnp.matmul(patches, kernel.reshape(-1, kernel.shape[-1]), precision=self.numerics.precision)
        return tokens + self.bias[...].astype(self.numerics.dtype)


class SelfAttention(nnx.Module):
    """Multi-head self-attention with one projection for query, key and value."""

    def __init__(self, width: int, heads: int, numerics: Numerics, rngs: nnx.Rngs):
        self.heads = heads
        self.qkv = numerics.linear(width, 3 * width, rngs, kernel_init=normal_init)
        self.proj = numerics.linear(width, width, rngs, kernel_init=normal_init)

    def __call__(self, x: Float[Array, "N L D"]) -> Float[Array, "N L D"]:
        n, length, width = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, self.heads, width // self.heads)
        return self.proj(attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]).reshape(n, length, width))


class Mlp(nnx.Module):
    """Feed-forward layer whose two linear layers carry the spatial adapters."""

    def __init__(self, width: int, config: DepthModelConfig, numerics: Numerics, rngs: nnx.Rngs):
        self.fc1 = AdaptedLinear(width, MLP_RATIO * width, config, True, numerics, rngs, normal_init)
        self.fc2 = AdaptedLinear(MLP_RATIO * width, width, config, True, numerics, rngs, normal_init)

    def __call__(self, x: Float[Array, "N L D"]) -> Float[Array, "N L D"]:
        return self.fc2(gelu(self.fc1(x)))


class ResidualBlock(nnx.Module):
    """EndoDAC's convolutional bottleneck on the patch tokens; its last norm starts at zero, so it adds 0 at first."""

    def __init__(self, width: int, numerics: Numerics, rngs: nnx.Rngs):
        narrow = width // RESIDUAL_REDUCTION
        conv = functools.partial(numerics.conv, rngs=rngs, use_bias=False, kernel_init=he_normal_out)
        self.conv1 = conv(width, narrow, 1)
        self.norm1 = numerics.layer_norm(narrow, EPSILON, rngs)
        self.conv2 = conv(narrow, narrow, 3)
        self.norm2 = numerics.layer_norm(narrow, EPSILON, rngs)
        self.conv3 = conv(narrow, width, 1)
        self.norm3 = numerics.layer_norm(width, EPSILON, rngs, scale_init=initializers.zeros)

    def __call__(self, x: Float[Array, "N h w D"]) -> Float[Array, "N h w D"]:
        x = gelu(self.norm1(self.conv1(x)))
        x = gelu(self.norm2(self.conv2(x)))
        return self.norm3(self.conv3(x))


class Block(nnx.Module):
    """Attention and feed-forward with layer scale, then EndoDAC's residual block where there is one."""

    def __init__(self, config: DepthModelConfig, residual: bool, numerics: Numerics, rngs: nnx.Rngs):
        width = config.backbone.width
        self.norm1 = numerics.layer_norm(width, EPSILON, rngs)
        self.attention = SelfAttention(width, config.backbone.heads, numerics, rngs)
        self.layer_scale1 = nnx.Param(jnp.ones((width,), jnp.float32))
        self.norm2 = numerics.layer_norm(width, EPSILON, rngs)
        self.mlp = Mlp(width, config, numerics, rngs)
        self.layer_scale2 = nnx.Param(jnp.ones((width,), jnp.float32))
        self.residual = ResidualBlock(width, numerics, rngs) if residual else None

    def __call__(self, x: Float[Array, "N L D"], grid: tuple[int, int]) -> Float[Array, "N L D"]:
        """Returns the tokens after the block.

        Args:
          x: tokens with the class token first.
          grid: (rows, columns) of the others.
        """
        x = x + self.layer_scale1[...].astype(x.dtype) * self.attention(self.norm1(x))
        x = x + self.layer_scale2[...].astype(x.dtype) * self.mlp(self.norm2(x))
        if self.residual is None:
            return x
        patches = x[:, 1:].reshape(x.shape[0], *grid, x.shape[-1])
        patches = patches + self.residual(patches)
        return jnp.concatenate([x[:, :1], patches.reshape(x.shape[0], -1, x.shape[-1])], 1)


class VisionTransformer(nnx.Module):
    """The encoder: normalised images to the token maps of four blocks.

    `mask_token` is part of published checkpoints and of their parameter counts, and is used by nothing here.
    """

    def __init__(self, config: DepthModelConfig, numerics: Numerics, remat: bool, rngs: nnx.Rngs):
        width = config.backbone.width
        self.taps = config.taps
        self.remat = remat
        self.numerics = numerics
        self.cls_token = nnx.Param(1e-6 * jax.random.normal(rngs.params(), (1, 1, width), jnp.float32))
        self.pos_embed = nnx.Param(normal_init(rngs.params(), (1, 1 + math.prod(POSITION_GRID), width), jnp.float32))
        self.mask_token = nnx.Param(jnp.zeros((1, width), jnp.float32))
        self.patch_embed = PatchEmbedding(width, numerics, rngs)
        self.blocks = nnx.List(
            [Block(config, i in config.residual_blocks, numerics, rngs) for i in range(config.backbone.depth)]
        )
        self.norm = numerics.layer_norm(width, EPSILON, rngs)

    def positions(self, grid: tuple[int, int]) -> Float[Array, "L D"]:
        """Position embeddings of a patch grid, the class token's first."""
        embeddings = self.pos_embed[...][0]
        patches = embeddings[1:]
        if grid != POSITION_GRID:
            width = patches.shape[-1]
            patches = resize_position_grid(patches.reshape(*POSITION_GRID, width), grid).reshape(-1, width)
        return jnp.concatenate([embeddings[:1], patches])

    def __call__(
        self, images: Float[Array, "N H W 3"], positions: Float[Array, "L D"], scan: bool = False
    ) -> tuple[Float[Array, "N h w D"], ...]:
        """Returns the outputs of the four tapped blocks, each through the final norm, without the class token.

        Args:
          images: normalised; their sides are multiples of 14.
          positions: of their patch grid; see `positions`.
          scan: whether the blocks, which must be alike, are one program that is run in turn.  That is for
            derivatives on a CPU: written out one after the other, each block's derivative adds up the changes of all
            blocks before it again; in turn they take 28% less time (vitt, 16 frames) and a sixth of the compilation.
        """
        n, height, width, _ = images.shape
        grid = (height // PATCH_SIZE, width // PATCH_SIZE)
        dtype = self.numerics.dtype
        tokens = self.patch_embed(images)
        first = jnp.broadcast_to(self.cls_token[...].astype(dtype), (n, 1, tokens.shape[-1]))
        x = jnp.concatenate([first, tokens], 1) + positions.astype(dtype)
        if scan:
            tapped = self._in_turn(x, grid)
        else:
            tapped = []
            for i, block in enumerate(self.blocks):
                run = functools.partial(block, grid=grid)
                x = jax.checkpoint(run)(x) if self.remat else run(x)
                if i in self.taps:
                    tapped.append(x)
        return tuple(self.norm(x)[:, 1:].reshape(n, *grid, -1) for x in tapped)

    def _in_turn(self, x: Float[Array, "N L D"], grid: tuple[int, int]) -> list[Float[Array, "N L D"]]:
        graphdefs, weights = zip(*(nnx.split(block) for block in self.blocks), strict=True)
        if any(graphdef != graphdefs[0] for graphdef in graphdefs):
            raise ValueError("blocks that differ (EndoDAC's residual ones) cannot be run in turn as one program")

        def step(x, block):
            x = nnx.merge(graphdefs[0], block, copy=True)(x, grid)
            return x, x

        _, outputs = jax.lax.scan(step, x, jax.tree.map(lambda *leaves: jnp.stack(leaves), *weights))
        return [outputs[i] for i in self.taps]
