"""Linear layers with few extra parameters that are trained while the kernel stays frozen.

`ssb` (EndoDAV) scales the layer's inputs and outputs, `lora` adds a low-rank product, `dvlora` (EndoDAC) adds one
whose two factors are scaled by vectors of their own.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Float

from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.layers import Numerics


class ScaleVectors(nnx.Module):
    """SSB: y = out * (W (in * x)) + b, both vectors one at the start."""

    def __init__(self, n_in: int, n_out: int):
        self.scale_in = nnx.Param(jnp.ones((n_in,), jnp.float32))
        self.scale_out = nnx.Param(jnp.ones((n_out,), jnp.float32))


class LowRank(nnx.Module):
    """LoRA: y = W x + b + scale B A x; with `scaled`, DV-LoRA: A's rows and B's rows are scaled by U and V.

    A starts uniform in ±1/sqrt(n_in), B at zero, U and V uniform in ±1, as published.
    """

    def __init__(self, n_in: int, n_out: int, rank: int, scaled: bool, rngs: nnx.Rngs):
        a_init = initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        self.lora_a = nnx.Param(a_init(rngs.params(), (n_in, rank), jnp.float32))
        self.lora_b = nnx.Param(jnp.zeros((rank, n_out), jnp.float32))
        if scaled:
            self.lora_u = nnx.Param(jax.random.uniform(rngs.params(), (rank,), jnp.float32, -1.0, 1.0))
            self.lora_v = nnx.Param(jax.random.uniform(rngs.params(), (n_out,), jnp.float32, -1.0, 1.0))


def low_rank_scale(config: DepthModelConfig) -> float:
    """alpha / rank of the published programs: alpha is 2 r for EndoDAV's LoRA, 1 for EndoDAC's, r for DV-LoRA."""
    if config.adapter == "dvlora":
        return 1.0
    return 1.0 / config.rank if config.family == "endodac" else 2.0


class AdaptedLinear(nnx.Module):
    """Linear layer with the configuration's adapter (or none)."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        config: DepthModelConfig,
        adapted: bool,
        numerics: Numerics,
        rngs: nnx.Rngs,
        kernel_init=None,
    ):
        linear = numerics.linear(n_in, n_out, rngs, kernel_init=kernel_init)
        assert linear.bias is not None
        self.kernel, self.bias = linear.kernel, linear.bias
        self.numerics = numerics
        self.scale = low_rank_scale(config)
        self.adapter = _adapter(n_in, n_out, config, rngs) if adapted else None

    def __call__(self, x: Float[Array, "*batch n_in"]) -> Float[Array, "*batch n_out"]:
        """The adapted layer.  Scales act on inputs and outputs, not on the kernel, whose gradient is never needed."""
        dtype, adapter = self.numerics.dtype, self.adapter
        x = x.astype(dtype)
        kernel, bias = self.kernel[...].astype(dtype), self.bias[...].astype(dtype)
        if isinstance(adapter, ScaleVectors):
            y = self._product(x * adapter.scale_in[...].astype(dtype), kernel)
            return y * adapter.scale_out[...].astype(dtype) + bias
        y = self._product(x, kernel) + bias
        if isinstance(adapter, LowRank):
            down, up = low_rank_factors(nnx.to_pure_dict(nnx.state(adapter)))
            y += self._product(self._product(x, down.astype(dtype)), up.astype(dtype)) * jnp.asarray(self.scale, dtype)
        return y

    def _product(self, x: Array, kernel: Array) -> Array:
        return jnp.matmul(x, kernel, precision=self.numerics.precision)


def _adapter(n_in: int, n_out: int, config: DepthModelConfig, rngs: nnx.Rngs) -> ScaleVectors | LowRank | None:
    if config.adapter == "ssb":
        return ScaleVectors(n_in, n_out)
    if config.adapter in ("lora", "dvlora"):
        return LowRank(n_in, n_out, config.rank, config.adapter == "dvlora", rngs)
    return None


def low_rank_factors(adapter: dict) -> tuple[Float[Array, "n_in r"], Float[Array, "r n_out"]]:
    """A^T and B^T of a `LowRank`'s parameters, with U and V multiplied in."""
    down, up = adapter["lora_a"], adapter["lora_b"]
    if "lora_u" in adapter:
        down, up = down * adapter["lora_u"], up * adapter["lora_v"]
    return down, up


def merge_adapter(kernel: Float[Array, "n_in n_out"], adapter: dict, scale: float) -> Float[Array, "n_in n_out"]:
    """The kernel of the plain linear layer that computes what the adapted one does."""
    if "scale_in" in adapter:
        return adapter["scale_in"][:, None] * kernel * adapter["scale_out"]
    down, up = low_rank_factors(adapter)
    return kernel + scale * jnp.matmul(down, up, precision=jax.lax.Precision.HIGHEST)
