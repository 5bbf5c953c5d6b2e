"""Linear layers with a few extra parameters, which are trained while the kernel stays frozen.

`ssb` (EndoDAV) scales the layer's inputs and outputs, `lora` adds a low-rank product, `dvlora` (EndoDAC) adds one
whose two factors are scaled by vectors of their own.  `ADAPTERS` has an entry of each; `docs/extending.md` shows how
to add another.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.nn import initializers
from jaxtyping import Array, Float

from endodav_jax.models.config import DepthModelConfig
from endodav_jax.models.interface import LinearAdapter
from endodav_jax.models.layers import Numerics
from endodav_jax.models.registry import ADAPTERS, NO_ADAPTER, Adapter, register_adapter
from endodav_jax.models.tensor_names import Leaf, squeezed, turned


class ScaleVectors(nnx.Module):
    """SSB: y = out * (W (in * x)) + b, with both vectors initialised to one."""

    def __init__(self, n_in: int, n_out: int):
        self.scale_in = nnx.Param(jnp.ones((n_in,), jnp.float32))
        self.scale_out = nnx.Param(jnp.ones((n_out,), jnp.float32))

    def __call__(
        self, x: Float[Array, "*batch n_in"], product: Callable[[Array], Array], bias: Float[Array, "n_out"]
    ) -> Float[Array, "*batch n_out"]:
        """Scales act on inputs and outputs, not on the kernel, whose gradient is never needed."""
        return product(x * self.scale_in[...].astype(x.dtype)) * self.scale_out[...].astype(x.dtype) + bias


class LowRank(nnx.Module):
    """LoRA: y = W x + b + scale B A x; with `scaled`, DV-LoRA: A's rows and B's rows are scaled by U and V.

    A starts uniform in ±1/sqrt(n_in), B at zero, U and V uniform in ±1, as published.
    """

    def __init__(
        self, n_in: int, n_out: int, rank: int, scale: float, scaled: bool, numerics: Numerics, rngs: nnx.Rngs
    ):
        self.scale = scale
        self.precision = numerics.precision
        a_init = initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        self.lora_a = nnx.Param(a_init(rngs.params(), (n_in, rank), jnp.float32))
        self.lora_b = nnx.Param(jnp.zeros((rank, n_out), jnp.float32))
        if scaled:
            self.lora_u = nnx.Param(jax.random.uniform(rngs.params(), (rank,), jnp.float32, -1.0, 1.0))
            self.lora_v = nnx.Param(jax.random.uniform(rngs.params(), (n_out,), jnp.float32, -1.0, 1.0))

    def __call__(
        self, x: Float[Array, "*batch n_in"], product: Callable[[Array], Array], bias: Float[Array, "n_out"]
    ) -> Float[Array, "*batch n_out"]:
        """The output of the plain layer plus the low-rank product."""
        down, up = (factor.astype(x.dtype) for factor in _factors(nnx.to_pure_dict(nnx.state(self))))
        low_rank = jnp.matmul(jnp.matmul(x, down, precision=self.precision), up, precision=self.precision)
        return product(x) + bias + low_rank * jnp.asarray(self.scale, x.dtype)


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
        kernel_init: Callable | None = None,
    ):
        linear = numerics.linear(n_in, n_out, rngs, kernel_init=kernel_init)
        assert linear.bias is not None
        self.kernel, self.bias = linear.kernel, linear.bias
        self.numerics = numerics
        adapter = ADAPTERS[config.adapter] if adapted and config.adapter != NO_ADAPTER else None
        self.adapter = adapter.build(n_in, n_out, config, numerics, rngs) if adapter else None

    def __call__(self, x: Float[Array, "*batch n_in"]) -> Float[Array, "*batch n_out"]:
        """The output of the adapted layer."""
        dtype = self.numerics.dtype
        kernel, bias = self.kernel[...].astype(dtype), self.bias[...].astype(dtype)

        def product(x: Array) -> Array:
            return jnp.matmul(x, kernel, precision=self.numerics.precision)

        x = x.astype(dtype)
        return product(x) + bias if self.adapter is None else cast(LinearAdapter, self.adapter)(x, product, bias)


def adapter_tensors(config: DepthModelConfig) -> Mapping[str, Leaf]:
    """The tensors that the configuration's adapter adds to a published layer; none without an adapter."""
    return {} if config.adapter == NO_ADAPTER else ADAPTERS[config.adapter].tensors


def merge_adapter(
    kernel: Float[Array, "n_in n_out"], adapter: dict, config: DepthModelConfig
) -> Float[Array, "n_in n_out"]:
    """The kernel of the plain linear layer that computes what the adapted one does."""
    return ADAPTERS[config.adapter].merge(kernel, adapter, config)


def _factors(adapter: dict) -> tuple[Float[Array, "n_in r"], Float[Array, "r n_out"]]:
    """A^T and B^T of a `LowRank`'s parameters, with U and V multiplied in."""
    down, up = adapter["lora_a"], adapter["lora_b"]
    if "lora_u" in adapter:
        down, up = down * adapter["lora_u"], up * adapter["lora_v"]
    return down, up


def _merged_scales(kernel: Array, adapter: dict, config: DepthModelConfig) -> Array:
    return adapter["scale_in"][:, None] * kernel * adapter["scale_out"]


def _low_rank_entry(name: str, scaled: bool, scale_of: Callable[[DepthModelConfig], float], **fields: Any) -> Adapter:
    def build(n_in: int, n_out: int, config: DepthModelConfig, numerics: Numerics, rngs: nnx.Rngs) -> LowRank:
        return LowRank(n_in, n_out, config.rank, scale_of(config), scaled, numerics, rngs)

    def merge(kernel: Array, adapter: dict, config: DepthModelConfig) -> Array:
        down, up = _factors(adapter)
        return kernel + scale_of(config) * jnp.matmul(down, up, precision=jax.lax.Precision.HIGHEST)

    def reads(layer: Mapping[str, np.ndarray]) -> int | None:
        rank, width = _lengths_of_a(layer)
        return rank if width > 1 and _has_vectors(layer) == scaled else None

    return Adapter(name, build, merge, reads=reads, ranked=True, **fields)


def _reads_scales(layer: Mapping[str, np.ndarray]) -> int | None:
    """SSB scales every input and output of the layer: A is [in, 1], where LoRA's is [rank, in]."""
    return 1 if _lengths_of_a(layer)[1] == 1 and not _has_vectors(layer) else None


def _lengths_of_a(layer: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    if "lora_A" not in layer:
        return 0, 0
    if layer["lora_A"].ndim != 2:
        raise ValueError("lora_A must have two axes")
    return layer["lora_A"].shape


def _has_vectors(layer: Mapping[str, np.ndarray]) -> bool:
    return "lora_U" in layer or "lora_V" in layer


_FACTORS = {"lora_a": turned("lora_A", (1, 0)), "lora_b": turned("lora_B", (1, 0))}

register_adapter(
    Adapter(
        name="ssb",
        build=lambda n_in, n_out, config, numerics, rngs: ScaleVectors(n_in, n_out),
        merge=_merged_scales,
        tensors={"scale_in": squeezed("lora_A", 1), "scale_out": squeezed("lora_B", 1)},
        reads=_reads_scales,
    )
)
# The scale is alpha / rank as in the published programs: each family has its own for LoRA, DV-LoRA's alpha is the rank.
register_adapter(
    _low_rank_entry(
        "lora",
        False,
        lambda config: config.family_entry.low_rank_scale(config.rank),
        tensors=_FACTORS,
    )
)
register_adapter(
    _low_rank_entry(
        "dvlora",
        True,
        lambda config: 1.0,
        tensors=_FACTORS | {"lora_u": squeezed("lora_U", 1), "lora_v": squeezed("lora_V", 1)},
        late=frozenset({"lora_u", "lora_v"}),
    )
)
