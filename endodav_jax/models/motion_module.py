"""Video-Depth-Anything's motion module: a small transformer over the frames of a window, for each pixel."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Float, Int

from endodav_jax.models.adapters import AdaptedLinear
from endodav_jax.models.attention import attention
from endodav_jax.models.config import MAX_FRAMES, DepthModelConfig
from endodav_jax.models.interface import Cache
from endodav_jax.models.layers import Numerics, map_frames
from endodav_jax.models.vit import gelu

HEADS = 8
GROUPS = 32
ATTENTIONS = 2
CACHED = 2  # arrays for each attention: keys and values
GROUP_EPSILON = 1e-6
LAYER_EPSILON = 1e-5
HIDDEN_RATIO = 4
CPU_PIXELS = 80  # processed at a time on a CPU, so that the hidden layers of a window stay in its cache


def sinusoidal_table(length: int, width: int) -> np.ndarray:
    """Position table float32 [length, width], base 10000, sines on even and cosines on odd channels."""
    frequencies = np.exp(np.arange(0, width, 2) * (-np.log(10000.0) / width))
    angles = np.arange(length)[:, None] * frequencies
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, -1)[:, :width].astype(np.float32)


class TemporalAttention(nnx.Module):
    """Attention over time; positions are added to the normalised tokens."""

    def __init__(self, width: int, numerics: Numerics, rngs: nnx.Rngs):
        self.numerics = numerics
        self.norm = numerics.layer_norm(width, LAYER_EPSILON, rngs)
        self.to_q = numerics.linear(width, width, rngs, use_bias=False)
        self.to_k = numerics.linear(width, width, rngs, use_bias=False)
        self.to_v = numerics.linear(width, width, rngs, use_bias=False)
        self.to_out = numerics.linear(width, width, rngs)

    def __call__(self, x: Float[Array, "P T C"]) -> Float[Array, "P T C"]:
        pixels, length, width = x.shape
        tokens = self.norm(x)
        tokens = tokens + jnp.asarray(sinusoidal_table(length, width), tokens.dtype)
        heads = (pixels, length, HEADS, width // HEADS)
        query, key, value = (to(tokens).reshape(heads) for to in (self.to_q, self.to_k, self.to_v))
        return self.to_out(attention(query, key, value).reshape(x.shape))

    def step(
        self,
        x: Float[Array, "P C"],
        keys: Float[Array, "S P C"],
        values: Float[Array, "S P C"],
        positions: Int[Array, "S"],
    ) -> tuple[Float[Array, "P C"], tuple[Float[Array, "P C"], Float[Array, "P C"]]]:
        """One frame attends to S earlier ones and itself; see `MotionModule.step`.

        Keys and values are linear in token plus position.  An earlier frame is therefore cached as the keys and values
        of its tokens alone, and those of its position, which changes as the window moves, are added here.
        """
        earlier, width = keys.shape[0], x.shape[-1]
        token = self.norm(x)
        table = jnp.asarray(sinusoidal_table(MAX_FRAMES, width), token.dtype)
        places = jnp.append(positions, jnp.int32(earlier))
        # All 32 positions are projected, not those of the window: exported programs keep the result as a constant.
        place_keys, place_values = (to(table)[places][:, None] for to in (self.to_k, self.to_v))
        query = self.to_q(token + table[earlier]) * jnp.asarray((width // HEADS) ** -0.5, token.dtype)
        key, value = self.to_k(token), self.to_v(token)
        # A head's sum over channels is a product with ones, so that the cache is read in the order it is kept in: a
        # product for each pixel and head would first transpose all of it.  The frame itself is apart, since (jax
        # 0.10.2 on a CPU) sums over a concatenation of cache and frame are wrong for some sizes.
        heads = jnp.asarray(np.kron(np.eye(HEADS), np.ones((width // HEADS, 1))), jnp.float32)
        of_heads = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
        scores = of_heads(query * (key + place_keys[earlier]).astype(jnp.float32), heads)[None]
        if earlier:  # other runtimes fail on empty arrays
            seen = (keys + place_keys[:earlier]).astype(jnp.float32)
            scores = jnp.concatenate([of_heads(query * seen, heads), scores])
        weights = of_heads(jax.nn.softmax(scores, axis=0), heads.T)
        answer = weights[earlier] * (value + place_values[earlier])
        if earlier:
            answer = answer + (weights[:earlier] * (values + place_values[:earlier])).sum(0)
        return self.to_out(answer.astype(x.dtype)), (key, value)


class FeedForward(nnx.Module):
    """GEGLU (Shazeer 2020); `project_out` carries the temporal adapter."""

    def __init__(self, width: int, config: DepthModelConfig, numerics: Numerics, rngs: nnx.Rngs):
        hidden = HIDDEN_RATIO * width
        self.norm = numerics.layer_norm(width, LAYER_EPSILON, rngs)
        self.project_in = numerics.linear(width, 2 * hidden, rngs)
        self.project_out = AdaptedLinear(hidden, width, config, config.temporal_adapter, numerics, rngs)

    def __call__(self, x: Float[Array, "*batch C"]) -> Float[Array, "*batch C"]:
        value, gate = jnp.split(self.project_in(self.norm(x)), 2, -1)
        return self.project_out(value * gelu(gate))


class MotionModule(nnx.Module):
    """Group norm of each frame, then over each pixel's frames two attentions and a feed-forward, added to the input.

    `proj_out` starts at zero, as published, so a new module changes nothing.
    """

    def __init__(self, channels: int, config: DepthModelConfig, numerics: Numerics, remat: bool, rngs: nnx.Rngs):
        self.remat = remat
        self.norm = numerics.group_norm(channels, GROUPS, GROUP_EPSILON, rngs)
        self.proj_in = numerics.linear(channels, channels, rngs)
        self.attentions = nnx.List([TemporalAttention(channels, numerics, rngs) for _ in range(ATTENTIONS)])
        self.feed_forward = FeedForward(channels, config, numerics, rngs)
        self.proj_out = numerics.linear(channels, channels, rngs, kernel_init=initializers.zeros)

    def __call__(self, x: Float[Array, "N h w C"], length: int) -> Float[Array, "N h w C"]:
        """Args: maps of B windows of `length` frames, at most 32."""
        frames, height, width, channels = x.shape
        batch, pixels = frames // length, height * width
        tokens = self.norm(x).reshape(batch, length, pixels, channels).swapaxes(1, 2)
        transform = jax.checkpoint(self._transform) if self.remat else self._transform
        change = map_frames(transform, tokens.reshape(batch * pixels, length, channels), frames=CPU_PIXELS)
        change = change.reshape(batch, pixels, length, channels).swapaxes(1, 2)
        return x + change.reshape(x.shape)

    def step(
        self, x: Float[Array, "B h w C"], cache: Cache, positions: Int[Array, "S"]
    ) -> tuple[Float[Array, "B h w C"], Cache]:
        """One frame of B streams, with S < 32 earlier frames kept in `cache`.

        Args:
          x: the frame's map.
          cache: for each attention keys and values [S,B*h*w,C] of the earlier frames, without their positions.
          positions: 0 ... S-1 in any order: which place in time each entry of the cache holds. The frame itself
            takes place S.

        Returns:
          The changed map, and for each attention the frame's own key and value [B*h*w,C].
        """
        channels = x.shape[-1]
        tokens = self.proj_in(self.norm(x).reshape(-1, channels))
        entries: list[Array] = []
        pairs = zip(cache[::CACHED], cache[1::CACHED], strict=True)
        for attend, (keys, values) in zip(self.attentions, pairs, strict=True):
            change, entry = attend.step(tokens, keys, values, positions)
            tokens = tokens + change
            entries.extend(entry)
        tokens = tokens + self.feed_forward(tokens)
        return x + self.proj_out(tokens).reshape(x.shape), tuple(entries)

    def _transform(self, tokens: Float[Array, "P T C"]) -> Float[Array, "P T C"]:
        tokens = self.proj_in(tokens)
        for attend in self.attentions:
            tokens = tokens + attend(tokens)
        return self.proj_out(tokens + self.feed_forward(tokens))


@functools.cache
def cache_shapes(config: DepthModelConfig) -> tuple[tuple[tuple[int, int], int], ...]:
    """For each of the head's four motion modules its map's (height, width) and channels."""
    rows, columns = config.patch_grid
    half = ((rows + 1) // 2, (columns + 1) // 2)
    _, _, level_3, level_4 = config.backbone.head_channels
    features = config.backbone.head_features
    return (
        ((rows, columns), level_3),
        (half, level_4),
        ((rows, columns), features),
        ((2 * rows, 2 * columns), features),
    )
