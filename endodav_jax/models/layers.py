"""The linear and convolution layers of all networks, made for a network's precision, and the splitting of work.

Layers are Flax's own; this file adds PyTorch's initialisation, which the published networks start from.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.nn import initializers

from endodav_jax.choices import Precision
from endodav_jax.models.convolution import convolve
from endodav_jax.models.platform import on_cpu

# On a CPU the attention scores and hidden layers of many frames do not fit in the cache, and time is then spent on
# memory traffic; so frames are processed in groups of at most this many.
CPU_FRAMES = 4

KEPT = "kept"  # maps that `recomputed` does not compute again

torch_uniform = initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # ±1/sqrt(fan in)
he_normal_out = initializers.variance_scaling(2.0, "fan_out", "normal")


def map_frames(function: Callable, *arrays, frames: int = CPU_FRAMES, remat: bool = False):
    """Applies `function` to arrays (or trees) that share their first axis, on a CPU a group at a time.

    `function` must treat the first axis' elements independently.  Groups are equal: the largest divisor of the
    axis that is at most `frames`, so that only one size is compiled.  With `remat` groups are computed again for
    the derivative, and nothing of them is kept.
    """
    if not on_cpu():
        return function(*arrays)
    count = jax.tree.leaves(arrays)[0].shape[0]
    size = next(n for n in range(min(frames, count), 0, -1) if count % n == 0)
    if size == count:
        return function(*arrays)
    if remat:
        function = jax.checkpoint(function, prevent_cse=False)
    groups = jax.tree.map(lambda a: a.reshape(count // size, size, *a.shape[1:]), arrays)
    results = jax.lax.map(lambda group: function(*group), groups)
    return jax.tree.map(lambda a: a.reshape(count, *a.shape[2:]), results)


def recomputed(function: Callable) -> Callable:
    """`function`, whose derivative computes again what it needs of the function's insides, but for what is `kept`."""
    policy = jax.checkpoint_policies.save_only_these_names(KEPT)
    return jax.checkpoint(function, prevent_cse=False, policy=policy)


def kept(x: jax.Array) -> jax.Array:
    """Marks a map that is small compared with the work it takes, so that `recomputed` computes it only once."""
    return checkpoint_name(x, KEPT)


@dataclasses.dataclass(frozen=True)
class Numerics:
    """Makes layers that compute in `dtype` from float32 parameters.

    float32 requests full precision even where an accelerator's default is lower (TF32, bfloat16 passes).
    """

    dtype: jnp.dtype
    precision: jax.lax.Precision | None

    @classmethod
    def of(cls, precision: Precision) -> "Numerics":
        """The numerics of a configuration's `precision`."""
        if precision == "float32":
            return cls(jnp.dtype(jnp.float32), jax.lax.Precision.HIGHEST)
        return cls(jnp.dtype(jnp.bfloat16), None)

    def linear(self, n_in: int, n_out: int, rngs: nnx.Rngs, *, use_bias: bool = True, kernel_init=None) -> nnx.Linear:
        """Linear layer; PyTorch's initialisation, or `kernel_init` with a bias of zero."""
        return nnx.Linear(
            n_in,
            n_out,
            use_bias=use_bias,
            dtype=self.dtype,
            param_dtype=jnp.float32,
            precision=self.precision,
            kernel_init=kernel_init or torch_uniform,
            bias_init=initializers.zeros if kernel_init else _bias_uniform(n_in),
            rngs=rngs,
        )

    def conv(
        self,
        n_in: int,
        n_out: int,
        size: int,
        rngs: nnx.Rngs,
        *,
        stride: int = 1,
        padding: int | None = None,
        use_bias: bool = True,
        kernel_init=None,
    ) -> nnx.Conv:
        """Square convolution, zero-padded by half its size on both sides unless `padding` says otherwise."""
        pad = size // 2 if padding is None else padding
        return nnx.Conv(
            n_in,
            n_out,
            (size, size),
            strides=(stride, stride),
            padding=((pad, pad), (pad, pad)),
            use_bias=use_bias,
            dtype=self.dtype,
            param_dtype=jnp.float32,
            precision=self.precision,
            kernel_init=kernel_init or torch_uniform,
            bias_init=initializers.zeros if kernel_init else _bias_uniform(n_in * size * size),
            conv_general_dilated=convolve,
            rngs=rngs,
        )

    def layer_norm(self, width: int, epsilon: float, rngs: nnx.Rngs, *, scale_init=None) -> nnx.LayerNorm:
        """Layer norm over the last axis; statistics in float32."""
        return nnx.LayerNorm(
            width,
            epsilon=epsilon,
            dtype=self.dtype,
            param_dtype=jnp.float32,
            use_fast_variance=False,
            scale_init=scale_init or initializers.ones,
            rngs=rngs,
        )

    def group_norm(self, width: int, groups: int, epsilon: float, rngs: nnx.Rngs) -> nnx.GroupNorm:
        """Group norm over all axes but the first; statistics in float32."""
        return nnx.GroupNorm(
            width,
            num_groups=groups,
            epsilon=epsilon,
            dtype=self.dtype,
            param_dtype=jnp.float32,
            use_fast_variance=False,
            rngs=rngs,
        )


def _bias_uniform(fan_in: int):
    def init(key, shape, dtype=jnp.float32, **_):
        bound = 1 / np.sqrt(fan_in)
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
